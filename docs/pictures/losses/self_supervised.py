"""The pictures of docs/losses/self_supervised.md."""

import jax
import jax.numpy as jnp
from kinds import Curves, OfNumber, Picture

import jaxloss

# Two features of four rows, without a mean and without a correlation.
FIRST, SECOND = jnp.array([1.0, 1, -1, -1]), jnp.array([1.0, -1, 1, -1])


def barlow_twins(weight: float) -> OfNumber:
    """The first feature of one view turns from that of the other view to the other feature."""

    def loss(angle: jax.Array) -> jax.Array:
        views = jnp.stack([FIRST, SECOND], -1), jnp.stack([at(angle), SECOND], -1)
        return jaxloss.barlow_twins_loss(*views, off_diagonal_weight=weight)

    return loss


def at(angle: jax.Array) -> jax.Array:
    return jnp.cos(angle) * FIRST + jnp.sin(angle) * SECOND


def vicreg(correlation: float) -> OfNumber:
    """Both views are equal, and their two features have one standard deviation."""
    features = jnp.stack([FIRST, at(jnp.arccos(correlation))], -1) * jnp.sqrt(3 / 4)  # with a deviation of 1
    return lambda deviation: jaxloss.vicreg_loss(deviation * features, deviation * features)


def dino(temperature: float) -> OfNumber:
    teacher = jnp.tile(jnp.array([1.0, 0.0]), (2, 1))

    def loss(x: jax.Array) -> jax.Array:
        student = jnp.tile(jnp.stack([x, 0 * x]), (2, 1))
        return jaxloss.dino_loss(student, teacher, student_temperature=1.0, teacher_temperature=temperature)

    return loss


PICTURES: dict[str, Picture] = {
    "barlow_twins_loss": Curves(
        "turn of a feature to the other one, in radians",
        (-3.2, 3.2),
        (0, 4.5),
        (-3, 3),
        {f"λ={weight:g}": barlow_twins(weight) for weight in (0.005, 0.5, 2.0)},
    ),
    "vicreg_loss": Curves(
        "standard deviation of two features",
        (0.1, 3),
        (0, 30),
        (-30, 50),
        {f"ρ={correlation:g}": vicreg(correlation) for correlation in (0.0, 0.5, 0.9)},
    ),
    "dino_loss": Curves(
        "student's logit of the first of two classes, teacher's at 1",
        (-5, 7),
        (0, 5),
        (-1.1, 1.1),
        {f"τ={temperature:g}": dino(temperature) for temperature in (0.04, 0.5, 2.0)},
    ),
}
