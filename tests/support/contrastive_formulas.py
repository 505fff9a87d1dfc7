"""Contrastive losses with PyTorch's tensors, from their papers. Where a package has the loss, it must agree.

`fixtures/make.py` alone runs them.
"""

import contextlib
from collections.abc import Callable
from types import ModuleType
from typing import Any

import numpy as np
from torch_formulas import reduced

Tensor = Any
Options = dict[str, Any]


def agreeing(losses: Tensor, reduction: str, packages: Callable[[], Tensor] | None, count: Tensor | None = None) -> Any:
    """The reduced losses. Their mean must be the package's, where it is installed."""
    found = reduced(losses, reduction, count)
    if reduction == "mean" and packages is not None:
        with contextlib.suppress(ImportError, RuntimeError):  # some import a torchvision that does not load
            np.testing.assert_allclose(found.item(), packages().item(), rtol=1e-6, atol=1e-9)
    return found


def cosines(functional: ModuleType, a: Tensor, b: Tensor) -> Tensor:
    return functional.normalize(a, dim=-1) @ functional.normalize(b, dim=-1).T


def diagonal(logits: Tensor) -> Tensor:
    import torch

    return torch.eye(*logits.shape, dtype=torch.bool)


def own_losses(logits: Tensor, own: Tensor, candidates: Tensor, *, decoupled: bool = False) -> Tensor:
    """Minus the log-probability of one candidate in each row."""
    used = candidates & ~own if decoupled else candidates | own
    total = logits.where(used, -float("inf")).logsumexp(-1)
    return total - logits.where(own, 0.0).sum(-1)


def info_nce(functional: ModuleType, arrays: tuple[Tensor, ...], reduction: str, options: Options) -> Tensor:
    queries, keys = arrays
    temperature = options.get("temperature", 0.07)
    dot = options.get("similarity", "cosine") == "dot"
    logits = (queries @ keys.T if dot else cosines(functional, queries, keys)) / temperature
    own = diagonal(logits)
    used = own | (own.new_tensor(range(len(keys))) >= 0)
    if not options.get("in_batch", True):
        used = own.clone()
        used[:, len(queries) :] = True
    losses = own_losses(logits, own, used, decoupled=options.get("decoupled", False))
    plain = not dot and len(options.keys() - {"temperature", "chunk_size"}) == 0 and len(keys) == len(queries)

    def package() -> Tensor:
        from info_nce import info_nce as call

        return call(queries, keys, temperature=temperature)

    return agreeing(losses, reduction, package if plain else None)


def nt_xent(functional: ModuleType, arrays: tuple[Tensor, ...], reduction: str, options: Options) -> Tensor:
    import torch

    first, second = arrays
    views, temperature = torch.cat(arrays), options.get("temperature", 0.07)
    logits = cosines(functional, views, views) / temperature
    itself = diagonal(logits)
    losses = own_losses(logits, itself.roll(len(first), 1), ~itself, decoupled=options.get("decoupled", False))

    def package() -> Tensor:
        from pytorch_metric_learning.losses import NTXentLoss, SelfSupervisedLoss

        return SelfSupervisedLoss(NTXentLoss(temperature))(first, second)

    plain = not options.get("decoupled", False)
    return agreeing(losses.reshape(2, -1).mean(0), reduction, package if plain else None)


def clip(functional: ModuleType, arrays: tuple[Tensor, ...], reduction: str, options: Options) -> Tensor:
    logits = cosines(functional, *arrays) / options.get("temperature", 0.07)
    own = diagonal(logits)
    losses = [own_losses(each, own, own | True) for each in (logits, logits.T)]
    return reduced((losses[0] + losses[1]) / 2, reduction)


def siglip(functional: ModuleType, arrays: tuple[Tensor, ...], reduction: str, options: Options) -> Tensor:
    logits = cosines(functional, *arrays) / options.get("temperature", 0.1) + options.get("bias", -10.0)
    signed = logits.where(diagonal(logits), -logits)
    return reduced(-functional.logsigmoid(signed).sum(-1), reduction)


def supcon(functional: ModuleType, arrays: tuple[Tensor, ...], reduction: str, options: Options) -> Tensor:
    embeddings, targets = arrays
    temperature = options.get("temperature", 0.07)
    logits = cosines(functional, embeddings, embeddings) / temperature
    kept = targets != options.get("ignore_index", -100)
    others = ~diagonal(logits) & kept & kept[:, None]
    positive = others & (targets == targets[:, None])
    total = logits.where(others, -float("inf")).logsumexp(-1)
    count = positive.sum(-1)
    mean = logits.where(positive, 0.0).sum(-1) / count.clamp_min(1)
    losses = (total - mean).where(count > 0, 0.0)

    def package() -> Tensor:
        from pytorch_metric_learning.losses import SupConLoss

        return SupConLoss(temperature)(embeddings[kept], targets[kept])

    # The package has no loss for a batch of one class.
    several = len(set(targets[kept].tolist())) > 1 and bool((count > 0).any())
    return agreeing(losses, reduction, package if several else None, (count > 0).to(losses.dtype))
