"""Cases of losses of a number against the number that it should have been."""

import gold
import inputs
import points
from case import Case
from inputs import ELEMENTS
from measured import Measured
from mistakes import c, f, row

import jaxloss

PAIRS = {"adversarial": points.pairs, "ordinary": inputs.pair, "differentiable": (0, 1)}

CASES = [
    Case(
        jaxloss.L1Loss,
        inputs.pair,
        inputs=ELEMENTS,
        edges=([0.0, 1, -1, 2], [0.0, 1, 1, 0]),
        differentiable=(0, 1),
        accuracy=(Measured(gold.l1_loss, **PAIRS),),
    ),
    Case(
        jaxloss.MSELoss,
        inputs.pair,
        inputs=ELEMENTS,
        edges=([0.0, 1, -1, 2], [0.0, 1, 1, 0]),
        differentiable=(0, 1),
        accuracy=(Measured(gold.mse_loss, **PAIRS),),
    ),
    Case(
        jaxloss.HuberLoss,
        inputs.pair,
        options=({}, {"delta": 0.25}, {"delta": 7.0}),
        inputs=ELEMENTS,
        edges=([0.0, 1, -1, 0.25, -7, 1e4], [0.0, 0, 0, 0, 0, 0]),
        differentiable=(0, 1),
        accuracy=(Measured(gold.huber_loss, **PAIRS), Measured(gold.huber_loss, options={"delta": 0.25}, **PAIRS)),
        mistakes=(
            *(
                row(
                    f"huber_loss-delta={delta}",
                    lambda delta=delta: jaxloss.huber_loss(f(3), f(3), delta=delta),
                    ValueError,
                    f"`delta` is {delta}, but must be above 0.",
                )
                for delta in (0, -1.0, float("nan"))
            ),
            row(
                "huber_loss-delta_of_an_array",
                lambda: jaxloss.huber_loss(f(3), f(3), delta=f(3)),
                ValueError,
                "`delta` has shape (3,), but is one number: use jax.vmap to try several.",
            ),
            row(
                "huber_loss-delta_complex",
                lambda: jaxloss.huber_loss(f(3), f(3), delta=c()),
                TypeError,
                "`delta` has dtype complex64, but must be real.",
            ),
        ),
    ),
    Case(
        jaxloss.SmoothL1Loss,
        inputs.pair,
        options=({}, {"beta": 0.25}, {"beta": 0.0}, {"beta": 7.0}),
        inputs=ELEMENTS,
        edges=([0.0, 1, -1, 0.25, -7, 1e4], [0.0, 0, 0, 0, 0, 0]),
        differentiable=(0, 1),
        accuracy=(
            Measured(gold.smooth_l1_loss, **PAIRS),
            Measured(gold.smooth_l1_loss, options={"beta": 0.0}, **PAIRS),
            Measured(gold.smooth_l1_loss, options={"beta": 8.0}, **PAIRS),
        ),
        mistakes=(
            row(
                "smooth_l1_loss-beta",
                lambda: jaxloss.smooth_l1_loss(f(3), f(3), beta=-0.5),
                ValueError,
                "`beta` is -0.5, but must be at least 0.",
            ),
        ),
    ),
]
