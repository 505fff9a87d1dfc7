"""The pictures of docs/losses/imbalance.md."""

from kinds import Curves, Picture, true_class

import jaxloss

PICTURES: dict[str, Picture] = {
    "softmax_focal_loss": Curves(
        "logit of the true class, two others at 0",
        (-6, 6),
        (0, 6),
        (-1.4, 0.2),
        {f"γ={gamma:g}": true_class(jaxloss.softmax_focal_loss, 3, gamma=gamma) for gamma in (0.0, 1.0, 2.0)},
    ),
}
