"""Ranking losses of one list at a time, written from their papers with PyTorch's tensors.

`fixtures/make.py` alone runs them.
"""

import math
from collections.abc import Callable
from types import ModuleType
from typing import Any

from torch_formulas import Options, Tensor, reduced

OfList = Callable[..., tuple[Tensor, Tensor | float]]
"""Takes the scores, the targets and the options, and returns the loss of the list and its count."""


def lists(of_list: OfList) -> Callable[..., Tensor]:
    def call(functional: ModuleType, arrays: tuple[Tensor, ...], reduction: str, options: Options) -> Tensor:
        import torch

        scores, targets = (array.reshape(-1, array.shape[-1]) for array in arrays)
        found = [of_list(*pair, **options) for pair in zip(scores, targets, strict=True)]
        shape = arrays[0].shape[:-1]
        losses = torch.stack([loss for loss, _ in found]).reshape(shape)
        return reduced(losses, reduction, torch.tensor([float(count) for _, count in found]).reshape(shape))

    return call


def listnet(scores: Tensor, targets: Tensor, normalization: str | None = "softmax") -> tuple[Tensor, float]:
    shares = {"softmax": targets.softmax(-1), "sum": targets / targets.sum().clamp_min(1e-300), None: targets}
    return -(shares[normalization] * scores.log_softmax(-1)).sum(), 1


def listmle(scores: Tensor, targets: Tensor) -> tuple[Tensor, float]:
    ordered = scores[targets.sort(stable=True, descending=True).indices]
    return (ordered.flip(0).logcumsumexp(0).flip(0) - ordered).sum(), 1


def pairs(scores: Tensor, targets: Tensor) -> tuple[Tensor, Tensor, int]:
    better, worse = (targets[:, None] > targets).nonzero(as_tuple=True)
    return scores[better], scores[worse], len(better)


def pairwise_logistic(scores: Tensor, targets: Tensor, sigma: float = 1.0) -> tuple[Tensor, float]:
    import torch

    better, worse, count = pairs(scores, targets)
    return -torch.nn.functional.logsigmoid(sigma * (better - worse)).sum(), count


def pairwise_hinge(scores: Tensor, targets: Tensor, margin: float = 1.0) -> tuple[Tensor, float]:
    better, worse, count = pairs(scores, targets)
    return (margin - (better - worse)).clamp_min(0).where(better - worse < margin, 0.0).sum(), count


def approx_ndcg(scores: Tensor, targets: Tensor, temperature: float = 1.0) -> tuple[Tensor, float]:
    if not targets.any():
        return 0 * scores.sum(), 0
    ranks = 0.5 + ((scores - scores[:, None]) / temperature).sigmoid().sum(-1)
    return 1 - (gains(targets, len(targets)) / (1 + ranks).log2()).sum(), 1


def gains(targets: Tensor, k: int) -> Tensor:
    import torch

    gains, places = 2**targets - 1, torch.arange(1.0, len(targets) + 1).double()
    return gains / (gains.sort(descending=True).values / (1 + places).log2())[:k].sum().clamp_min(1e-300)


def lambda_weighted(
    scores: Tensor,
    targets: Tensor,
    weighting: str | None = "ndcg2pp",
    k: int | None = None,
    mu: float = 10.0,
    sigma: float = 1.0,
) -> tuple[Tensor, float]:
    import torch

    size, ranks = len(scores), torch.empty(len(scores), dtype=scores.dtype)
    ranks[scores.sort(stable=True, descending=True).indices] = torch.arange(1.0, size + 1).double()
    better = targets[:, None] > targets if weighting != "ndcg1" else torch.ones(size, size, dtype=torch.bool)
    chosen = better & ((ranks <= (k or size))[:, None] | (ranks <= (k or size)))
    gain, discount, apart = gains(targets, k or size), (1 + ranks).log2(), (ranks[:, None] - ranks).abs()
    change = (gain[:, None] - gain).abs()
    lambdarank = (1 / discount[:, None] - 1 / discount).abs() * change
    ndcg2 = (1 / (1 + apart).log2() - 1 / (2 + apart).log2()).where(apart > 0, 0.0) * change
    weights = {"lambdarank": lambdarank, "ndcg2": ndcg2, "ndcg2pp": mu * ndcg2 + lambdarank}
    weights |= {"ndcg1": (gain / discount)[:, None].expand(size, size), None: torch.ones_like(change)}
    bits = -torch.nn.functional.logsigmoid(sigma * (scores[:, None] - scores)) / math.log(2)
    return (weights[weighting] * bits)[chosen].sum(), chosen.sum()


def cosent(scores: Tensor, targets: Tensor, scale: float = 20.0) -> tuple[Tensor, float]:
    better, worse, _ = pairs(scale * scores, targets)
    return (worse - better).logsumexp(0).logaddexp(0 * scores.sum()), 1


def negative_sampling(functional: ModuleType, arrays: tuple[Any, ...], reduction: str, options: Options) -> Tensor:
    positive, negative = arrays
    losses = -functional.logsigmoid(positive) - functional.logsigmoid(-negative).sum(-1)
    return reduced(losses, reduction)
