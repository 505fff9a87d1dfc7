"""Cases of losses of generative adversarial networks."""

import gold_signals as gold
import numpy as np
import points
from case import Case
from inputs import ELEMENTS, REAL, Arrays, Inputs, normal, takes
from measured import Measured
from mistakes import f, row
from references import Formula

import jaxloss

KINDS = tuple({"loss_type": kind} for kind in ("non_saturating", "hinge", "least_squares", "wasserstein"))


@takes(REAL, REAL)
def scores(rng: np.random.Generator, inputs: Inputs) -> Arrays:
    return normal(rng, inputs.shape, inputs.scale), normal(rng, inputs.shape, inputs.scale)


@takes(REAL)
def fake_scores(rng: np.random.Generator, inputs: Inputs) -> Arrays:
    return (normal(rng, inputs.shape, inputs.scale),)


def discriminator(real, fake, loss_type="non_saturating"):
    return {
        "non_saturating": lambda: np.logaddexp(0, -real) + np.logaddexp(0, fake),
        "hinge": lambda: np.maximum(1 - real, 0) + np.maximum(1 + fake, 0),
        "least_squares": lambda: ((real - 1) ** 2 + fake**2) / 2,
        "wasserstein": lambda: fake - real,
    }[loss_type]()


def generator(fake, loss_type="non_saturating"):
    return {
        "non_saturating": lambda: np.logaddexp(0, -fake),
        "hinge": lambda: -fake,
        "least_squares": lambda: (fake - 1) ** 2 / 2,
        "wasserstein": lambda: -fake,
    }[loss_type]()


CASES = [
    Case(
        jaxloss.GANDiscriminatorLoss,
        scores,
        options=KINDS,
        inputs=ELEMENTS,
        edges=([0.0, 1.0, -1.0, 1e4, -1e4], [0.0, -1.0, 1.0, 1e4, -1e4]),
        differentiable=(0, 1),
        reference=Formula(discriminator),
        never_negative=False,
        accuracy=tuple(
            Measured(
                gold.gan_discriminator_loss,
                points.pairs,
                scores,
                options=kind,
                differentiable=(0, 1),
                never_negative=False,
            )
            for kind in KINDS
        ),
        mistakes=(
            row(
                "gan_discriminator_loss-kind",
                lambda: jaxloss.gan_discriminator_loss(f(4), f(4), loss_type="softplus"),
                ValueError,
                "`loss_type` is 'softplus'; it must be 'non_saturating'",
            ),
        ),
    ),
    Case(
        jaxloss.GANGeneratorLoss,
        fake_scores,
        options=KINDS,
        inputs=ELEMENTS,
        edges=([0.0, 1.0, -1.0, 1e4, -1e4],),
        reference=Formula(generator),
        never_negative=False,
        accuracy=tuple(
            Measured(
                gold.gan_generator_loss,
                lambda kind: (kind.real(),),
                fake_scores,
                options=kind,
                never_negative=False,
                ulps=(3, 3),
            )
            for kind in KINDS
        ),
        mistakes=(
            row(
                "gan_generator_loss-kind",
                lambda: jaxloss.gan_generator_loss(f(4), loss_type="softplus"),
                ValueError,
                "`loss_type` is 'softplus'; it must be 'non_saturating'",
            ),
        ),
    ),
]
