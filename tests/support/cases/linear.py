"""Cases of losses of the logits that a linear layer would make."""

import gold_structured
import inputs
import points
from case import Case
from inputs import MANY_EXAMPLES, Inputs, head_bias, kernel_weight, linear_first
from measured import Measured
from mistakes import f, row
from references import Torch

import jaxloss

FEW = {name: MANY_EXAMPLES[name] for name in ("batched", "unbatched", "extra")}

CASES = [
    Case(
        jaxloss.LinearCrossEntropyLoss,
        inputs.hidden_kernel_labels,
        element="token",
        options=(
            {},
            {"bias": head_bias, "weight": kernel_weight},
            {"chunk_size": 2, "label_smoothing": 0.125, "z_loss": 0.5, "logit_softcap": 2.0},
        ),
        inputs=MANY_EXAMPLES,
        differentiable=(0, 1),
        reference=Torch(linear_first),
        shared=(1,),
        float32_losses=True,
        accuracy=(
            Measured(
                gold_structured.linear_cross_entropy,
                points.products_and_labels,
                points.ordinary_products,
                inputs=Inputs((60,), size=10),
                differentiable=(0, 1),
                by_element=True,
                ulps=(4, 64),
            ),
        ),
        mistakes=(
            row(
                "linear_cross_entropy_with_stats-probabilities",
                lambda: jaxloss.linear_cross_entropy_with_stats(f(4, 2), f(2, 3), f(4, 3)),
                ValueError,
                "`targets` are probabilities, but the stats are of the label: use class numbers.",
            ),
        ),
    ),
    Case(
        jaxloss.LinearCrossEntropyLoss,
        inputs.hidden_heads_labels,
        element="token",
        variant="heads",
        options=({"chunk_size": 3, "bias": head_bias, "weight": kernel_weight, "label_smoothing": 0.25},),
        inputs=FEW,
        differentiable=(0, 1),
        reference=Torch(linear_first),
        shared=(1,),
        float32_losses=True,
    ),
    Case(
        jaxloss.LinearCrossEntropyLoss,
        inputs.hidden_kernel_soft_labels,
        element="token",
        variant="probabilities",
        options=({"chunk_size": 2}, {"chunk_size": 1, "weight": kernel_weight, "label_smoothing": 0.25}),
        inputs=FEW,
        differentiable=(0, 1, 2),
        reference=Torch(linear_first),
        shared=(1,),
        float32_losses=True,
    ),
]
