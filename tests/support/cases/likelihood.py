"""Cases of negative log-likelihoods of counts and of numbers."""

import gold
import inputs
import numpy as np
import points
from case import Case
from inputs import ELEMENTS
from measured import Measured
from mistakes import f, row
from references import Formula

import jaxloss

COUNTS = {"differentiable": (0, 1), "never_negative": False}
ROWS = {name: ELEMENTS[name] for name in ("batched", "extra")}

CASES = [
    Case(
        jaxloss.PoissonNLLLoss,
        inputs.counts,
        element="count",
        options=({}, {"full": True}),
        inputs=ELEMENTS,
        edges=([0.0, 0, 1, -30, 8], [0.0, 1, 1, 0, 2]),
        differentiable=(0, 1),
        never_negative=False,
        accuracy=(
            Measured(gold.poisson_nll_loss, points.log_rates_and_counts, inputs.counts, **COUNTS),
            Measured(gold.poisson_nll_loss, points.log_rates_and_counts, inputs.counts, {"full": True}, **COUNTS),
        ),
    ),
    Case(
        jaxloss.PoissonNLLLoss,
        inputs.rates,
        element="count",
        variant="rate",
        options=({"log_input": False}, {"log_input": False, "full": True, "eps": 0.125}),
        inputs=ELEMENTS,
        edges=([0.0, 1, 1, 0.5, 8], [0.0, 1, 0, 0, 2]),
        differentiable=(0, 1),
        never_negative=False,
        accuracy=(
            Measured(gold.poisson_nll_loss, points.rates_and_counts, inputs.rates, {"log_input": False}, **COUNTS),
        ),
    ),
    Case(
        jaxloss.GaussianNLLLoss,
        inputs.means_and_variances,
        options=({}, {"full": True}, {"eps": 0.5}),
        inputs=ELEMENTS,
        edges=([0.0, 1, 1, 0.5, 8], [0.0, 0, 1, 0, 2], [0.0, 0, 1e-6, 0.5, 8]),
        differentiable=(0, 1, 2),
        never_negative=False,
        accuracy=(
            Measured(
                gold.gaussian_nll_loss,
                points.means_and_variances,
                inputs.means_and_variances,
                differentiable=(0, 1, 2),
                never_negative=False,
                ulps=(3, 3),
            ),
        ),
        mistakes=(
            row(
                "gaussian_nll_loss-eps",
                lambda: jaxloss.gaussian_nll_loss(f(3), f(3), f(3), eps=0.0),
                ValueError,
                "`eps` is 0.0, but must be above 0.",
            ),
            row(
                "gaussian_nll_loss-broadcast",
                lambda: jaxloss.gaussian_nll_loss(f(3), f(3, 1), f(3)),
                ValueError,
                "`targets` has shape (3, 1), but must have the predictions' (3,), or lack leading axes of it, or have "
                "axes of size 1 instead.",
            ),
            row(
                "gaussian_nll_loss-targets_of_rows",
                lambda: jaxloss.gaussian_nll_loss(f(4, 3), f(4), f(4, 3)),
                ValueError,
                "`targets` has shape (4,), but must have the predictions' (4, 3), or lack leading axes of it, or have "
                "axes of size 1 instead.",
            ),
            *(
                row(
                    f"gaussian_nll_loss-var{shape}",
                    lambda shape=shape: jaxloss.gaussian_nll_loss(f(4, 3), f(4, 3), f(*shape)),
                    ValueError,
                    f"`var` has shape {shape}, but must have the predictions' (4, 3), or lack the last axis of it, "
                    "or have axes of size 1 instead, or be one number.",
                )
                for shape in ((3,), (2, 3), (4, 3, 1))
            ),
        ),
    ),
    Case(
        jaxloss.GaussianNLLLoss,
        inputs.rowwise_variances,
        variant="rows",
        inputs=ROWS,
        differentiable=(0, 1, 2),
        never_negative=False,
    ),
    Case(
        jaxloss.GaussianNLLLoss,
        inputs.unsqueezed_variances,
        variant="unsqueezed",
        inputs=ROWS,
        differentiable=(0, 1, 2),
        never_negative=False,
    ),
    Case(
        jaxloss.GaussianNLLLoss,
        inputs.means_and_variances,
        variant="beta",
        options=({"beta": 0.5},),
        inputs={"batched": ELEMENTS["batched"], "unbatched": ELEMENTS["unbatched"]},
        differentiable=(0, 1),  # the factor of the variance has no derivative
        never_negative=False,
        reference=Formula(lambda x, t, var, beta: var**beta * (np.log(var) + (x - t) ** 2 / var) / 2),
    ),
]
