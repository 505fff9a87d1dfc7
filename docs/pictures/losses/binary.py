"""The pictures of docs/losses/binary.md."""

from kinds import Curves, Picture, Plane, per_row

import jaxloss

PICTURES: dict[str, Picture] = {
    "binary_cross_entropy": Curves(
        "predicted probability",
        (0, 1),
        (0, 5),
        (-10, 10),
        {
            "target 1": lambda x: jaxloss.binary_cross_entropy(x, 1.0),
            "target 0": lambda x: jaxloss.binary_cross_entropy(x, 0.0),
            "target 0.3": lambda x: jaxloss.binary_cross_entropy(x, 0.3),
        },
    ),
    "binary_cross_entropy_with_logits": Curves(
        "logit",
        (-6, 6),
        (0, 9),
        (-3.2, 1.6),
        {
            "target 1": lambda x: jaxloss.binary_cross_entropy_with_logits(x, 1.0),
            "target 0": lambda x: jaxloss.binary_cross_entropy_with_logits(x, 0.0),
            "target 1, pos_weight=3": lambda x: jaxloss.binary_cross_entropy_with_logits(x, 1.0, pos_weight=3.0),
        },
    ),
    "soft_margin_loss": Curves(
        "score",
        (-6, 6),
        (0, 6),
        (-1.2, 1.2),
        {
            "target 1": lambda x: jaxloss.soft_margin_loss(x, 1.0),
            "target −1": lambda x: jaxloss.soft_margin_loss(x, -1.0),
        },
    ),
    "multilabel_soft_margin_loss": Plane(
        ("logit of a class that is there", "logit of one that is not"),
        (-6, 6),
        (-4, 4),
        (0, 0.25, 0.5, 1, 2, 3, 4),
        per_row(jaxloss.multilabel_soft_margin_loss, [1, 0]),
    ),
}
