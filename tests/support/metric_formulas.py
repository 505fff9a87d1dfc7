"""Losses of metric learning with PyTorch's tensors, from their papers. Where a package has the loss, it must agree.

`fixtures/make.py` alone runs them.
"""

from types import ModuleType
from typing import Any

from contrastive_formulas import agreeing, diagonal

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


def cosines(embeddings: Tensor) -> Tensor:
    """The cosines of all pairs. A vector of zeros has the cosine 0 and the gradient 0."""
    zero = (embeddings == 0).all(1, keepdim=True)
    units = (embeddings / embeddings.where(~zero, 1.0).norm(dim=1, keepdim=True)).where(~zero, 0.0)
    return units @ units.T


def distances(embeddings: Tensor, distance: str) -> Tensor:
    if distance == "cosine":
        return 1 - cosines(embeddings)
    squares = ((embeddings[:, None] - embeddings) ** 2).sum(-1)
    # The root has no gradient at 0, so that it is replaced there.
    return squares if distance == "squared" else squares.where(squares > 0, 1.0).sqrt().where(squares > 0, 0.0)


def relations(targets: Tensor, options: Options) -> tuple[Tensor, Tensor]:
    """Whether an example is a positive, and whether it is a negative, for each anchor."""
    kept = targets != options.get("ignore_index", -100)
    same, both = targets == targets[:, None], kept & kept[:, None]
    return both & same & ~diagonal(same), both & ~same


def batch_triplet(functional: ModuleType, arrays: tuple[Tensor, ...], reduction: str, options: Options) -> Tensor:
    embeddings, targets = arrays
    mining, soft, margin = options.get("mining", "hard"), options.get("soft", False), options.get("margin", 1.0)
    distance = options.get("distance", "euclidean")
    between = distances(embeddings, distance)
    positive, negative = relations(targets, options)
    # Axes: anchors, positives, negatives.
    gaps = between[:, :, None] - between[:, None]
    valid = positive[:, :, None] & negative[:, None]
    if mining == "hard":
        farthest = between.where(positive, -1.0).argmax(1)
        nearest = between.where(negative, float("inf")).argmin(1)
        chosen = diagonal_of(farthest, nearest, valid)
    elif mining == "semihard":
        farther = valid & (gaps < 0)
        chosen = first_largest(gaps, farther) | first_smallest(gaps, valid) & ~farther.any(2, keepdim=True)
    else:
        chosen = valid
    terms = (functional.softplus(gaps) if soft else (gaps + margin).relu()).where(chosen, 0.0)
    counted = terms > 0 if mining == "all" and not soft else chosen

    def package() -> Tensor:
        from pytorch_metric_learning.distances import LpDistance
        from pytorch_metric_learning.losses import TripletMarginLoss

        power = 2 if distance == "squared" else 1
        call = TripletMarginLoss(margin, distance=LpDistance(normalize_embeddings=False, power=power))
        return call(embeddings, targets)

    plain = mining == "all" and not soft and distance != "cosine" and bool(counted.any())
    return agreeing(terms.sum((1, 2)), reduction, package if plain else None, counted.sum((1, 2)))


def diagonal_of(positives: Tensor, negatives: Tensor, valid: Tensor) -> Tensor:
    """One triplet of each anchor."""
    chosen = valid & False
    anchors = range(len(positives))
    chosen[anchors, positives, negatives] = True
    return chosen & valid


def first_largest(gaps: Tensor, among: Tensor) -> Tensor:
    """The negative with the largest gap for each anchor and positive."""
    best = gaps.where(among, -float("inf")).argmax(2, keepdim=True)
    return among & (best == gaps.new_tensor(range(gaps.shape[2])))


def first_smallest(gaps: Tensor, among: Tensor) -> Tensor:
    return first_largest(-gaps, among)


def log_sum(logits: Tensor, among: Tensor) -> Tensor:
    """The logsumexp over a part of each row; -inf, without a gradient, over nothing."""
    some = among.any(1)
    return logits.where(among | ~some[:, None], -float("inf")).logsumexp(1).where(some, -float("inf"))


def multi_similarity(functional: ModuleType, arrays: tuple[Tensor, ...], reduction: str, options: Options) -> Tensor:
    embeddings, targets = arrays
    alpha, beta, base = (
        options.get(name, default) for name, default in (("alpha", 2.0), ("beta", 50.0), ("base", 0.5))
    )
    epsilon = options.get("epsilon", 0.1)
    between = cosines(embeddings)
    positive, negative = relations(targets, options)
    if epsilon is not None:
        fixed = between.detach()
        nearest = fixed.where(negative, -float("inf")).amax(1, keepdim=True)
        farthest = fixed.where(positive, float("inf")).amin(1, keepdim=True)
        positive, negative = positive & (fixed - epsilon < nearest), negative & (fixed + epsilon > farthest)
    losses = functional.softplus(log_sum(alpha * (base - between), positive)) / alpha
    losses = losses + functional.softplus(log_sum(beta * (between - base), negative)) / beta
    kept = targets != options.get("ignore_index", -100)

    def package() -> Tensor:
        from pytorch_metric_learning.losses import MultiSimilarityLoss
        from pytorch_metric_learning.miners import MultiSimilarityMiner

        mined = None if epsilon is None else MultiSimilarityMiner(epsilon)(embeddings, targets)
        return MultiSimilarityLoss(alpha, beta, base)(embeddings, targets, mined)

    return agreeing(losses.where(kept, 0.0), reduction, package if bool(kept.all()) else None, kept.to(losses.dtype))


def circle(functional: ModuleType, arrays: tuple[Tensor, ...], reduction: str, options: Options) -> Tensor:
    embeddings, targets = arrays
    margin, gamma = options.get("margin", 0.4), options.get("gamma", 80.0)
    between = cosines(embeddings)
    positive, negative = relations(targets, options)
    pull, push = (1 + margin - between).detach().relu(), (between + margin).detach().relu()
    attraction = log_sum(gamma * pull * (1 - margin - between), positive)
    repulsion = log_sum(gamma * push * (between - margin), negative)
    both = positive.any(1) & negative.any(1)
    losses = functional.softplus((attraction + repulsion).where(both, -float("inf")))

    def package() -> Tensor:
        from pytorch_metric_learning.losses import CircleLoss

        return CircleLoss(margin, gamma)(embeddings, targets)

    # The mean of the package is over losses that are not 0 after rounding.
    plain = "ignore_index" not in options and bool((losses[both] > 1e-6).all())
    return agreeing(losses, reduction, package if plain else None, both.to(losses.dtype))


class Embedded:
    """A model of sentence-transformers whose sentences are embeddings already."""

    def __call__(self, features: Any) -> Any:
        return features
