"""The pictures of docs/losses/noise.md."""

from kinds import Curves, Picture, true_class

import jaxloss

LOGIT = "logit of the true class, two others at 0"
LEFT_TO_RIGHT = (-6.0, 6.0)
SLOPES = (-1.2, 0.2)

PICTURES: dict[str, Picture] = {
    "poly1_cross_entropy": Curves(
        LOGIT,
        LEFT_TO_RIGHT,
        (0, 8),
        (-1.6, 0.2),
        {f"epsilon={e:g}": true_class(jaxloss.poly1_cross_entropy, 3, epsilon=e) for e in (0.0, 1.0, 2.0)},
    ),
    "generalized_cross_entropy": Curves(
        LOGIT,
        LEFT_TO_RIGHT,
        (0, 6),
        SLOPES,
        {f"q={q:g}": true_class(jaxloss.generalized_cross_entropy, 3, q=q) for q in (0.0, 0.3, 0.7)},
    ),
    "symmetric_cross_entropy": Curves(
        LOGIT,
        LEFT_TO_RIGHT,
        (0, 6),
        SLOPES,
        {
            "SymmetricCrossEntropyLoss()": true_class(jaxloss.symmetric_cross_entropy, 3),
            "CrossEntropyLoss()": true_class(jaxloss.cross_entropy, 3),
        },
    ),
}
