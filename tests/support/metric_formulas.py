"""Losses of metric learning with PyTorch's tensors, from their papers. Where a package has the loss, it must agree.

`fixtures/make.py` alone runs them.
"""

from types import ModuleType
from typing import Any

from contrastive_formulas import agreeing

Tensor = Any
Options = dict[str, Any]


def contrastive(functional: ModuleType, arrays: tuple[Tensor, ...], reduction: str, options: Options) -> Tensor:
    first, second, targets = arrays
    margin, cosine = options.get("margin", 1.0), options.get("distance", "euclidean") == "cosine"
    if cosine:
        distances = 1 - functional.cosine_similarity(first, second, dim=-1, eps=1e-12)
    else:
        distances = functional.pairwise_distance(first, second, eps=options.get("eps", 1e-6))
    losses = (targets * distances**2 + (1 - targets) * (margin - distances).relu() ** 2) / 2

    def package() -> Tensor:
        from sentence_transformers.losses import ContrastiveLoss, SiameseDistanceMetric

        metric = SiameseDistanceMetric.COSINE_DISTANCE if cosine else SiameseDistanceMetric.EUCLIDEAN
        loss = ContrastiveLoss(Embedded(), distance_metric=metric, margin=margin)
        return loss([{"sentence_embedding": first}, {"sentence_embedding": second}], targets)

    return agreeing(losses, reduction, package if first.ndim == 2 and "eps" not in options else None)


class Embedded:
    """A model of sentence-transformers whose sentences are embeddings already."""

    def __call__(self, features: Any) -> Any:
        return features
