"""The same losses in other libraries, where they have the same formula, on the same numbers."""

import os
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import jax
import numpy as np
from measure import Results, computed
from measured import Arrays, Measured, given
from points import Kind

Run = Callable[[Measured, Arrays, Kind], Results | None]
"""The results, or None where the library lacks the loss or the dtype."""


def of_torch(subject: Measured, arrays: Arrays, kind: Kind) -> Results | None:
    import torch

    call = _torch_calls(torch).get(subject.name, getattr(torch.nn.functional, subject.name, None))
    if call is None:
        return None
    tensors = [_tensor(array, kind) for array in arrays]
    for i in subject.differentiable:
        tensors[i].requires_grad_()
    options = {name: torch.tensor(v) if name == "pos_weight" else v for name, v in subject.options.items()}
    try:
        losses = call(*tensors, **options)
        chosen = [tensors[i] for i in subject.differentiable]
        slopes = torch.autograd.grad(losses.sum(), chosen, materialize_grads=True)
    except (NotImplementedError, RuntimeError, TypeError, ValueError):  # not of this dtype, not with this option
        return None
    return tuple(result.detach().double().numpy() for result in (losses, *slopes))


def _tensor(array: np.ndarray, kind: Kind) -> Any:
    import torch

    tensor = torch.tensor(array)
    return tensor.to(getattr(torch, kind.dtype)) if tensor.is_floating_point() else tensor


def _torch_calls(torch: Any) -> Mapping[str, Callable[..., Any]]:
    functional = torch.nn.functional

    def unreduced(name: str) -> Callable[..., Any]:
        return partial(getattr(functional, name), reduction="none")

    def cross_entropy(logits: Any, target: Any, z_loss: float | None = None, **options: Any) -> Any:
        if z_loss is not None:
            raise NotImplementedError
        return functional.cross_entropy(logits, target, reduction="none", **options)

    names = (
        "l1_loss mse_loss huber_loss smooth_l1_loss poisson_nll_loss gaussian_nll_loss kl_div nll_loss "
        "binary_cross_entropy binary_cross_entropy_with_logits soft_margin_loss multilabel_soft_margin_loss "
        "multi_margin_loss multilabel_margin_loss hinge_embedding_loss margin_ranking_loss cosine_embedding_loss "
        "triplet_margin_loss triplet_margin_with_distance_loss"
    ).split()
    return {name: unreduced(name) for name in names} | {
        "cross_entropy": cross_entropy,
        "log_softmax": partial(functional.log_softmax, dim=-1),
        "linear_cross_entropy": lambda hidden, kernel, label: functional.cross_entropy(
            (hidden[:, None] @ kernel)[:, 0], label, reduction="none"
        ),
    }


def of_optax(subject: Measured, arrays: Arrays, kind: Kind) -> Results | None:
    import optax

    losses = optax.losses
    calls: dict[str, Callable[..., Any]] = {
        "mse_loss": losses.squared_error,
        "huber_loss": losses.huber_loss,
        "kl_div": lambda x, t, log_target=False: (
            losses.kl_divergence_with_log_targets if log_target else losses.kl_divergence
        )(x[..., None], t[..., None]),
        "binary_cross_entropy_with_logits": losses.sigmoid_binary_cross_entropy,
        "cross_entropy": lambda x, t: (
            losses.softmax_cross_entropy if t.ndim > 1 else losses.softmax_cross_entropy_with_integer_labels
        )(x, t),
        "cosine_similarity": partial(losses.cosine_similarity, epsilon=1e-8),
    }
    return _of_jax(calls, subject, arrays, kind)


def of_keras(subject: Measured, arrays: Arrays, kind: Kind) -> Results | None:
    os.environ.setdefault("KERAS_BACKEND", "jax")
    import keras

    losses = keras.losses
    keras.config.set_epsilon(1e-8)

    def of_numbers(loss: Callable[..., Any]) -> Callable[..., Any]:
        return lambda x, t, **options: loss(t[..., None], x[..., None], **options)

    def poisson(x: Any, t: Any, *, log_input: bool = True) -> Any:
        if log_input:
            raise TypeError("Keras has it of rates only")
        return losses.poisson(t[..., None], x[..., None])

    def cross_entropy(x: Any, t: Any) -> Any:
        loss = losses.categorical_crossentropy if t.ndim > 1 else losses.sparse_categorical_crossentropy
        return loss(t, x, from_logits=True)

    calls: dict[str, Callable[..., Any]] = {
        "l1_loss": of_numbers(losses.mean_absolute_error),
        "mse_loss": of_numbers(losses.mean_squared_error),
        "huber_loss": of_numbers(losses.huber),
        "poisson_nll_loss": poisson,
        "binary_cross_entropy_with_logits": of_numbers(partial(losses.binary_crossentropy, from_logits=True)),
        "cross_entropy": cross_entropy,
        "log_softmax": keras.ops.log_softmax,
    }
    return _of_jax(calls, subject, arrays, kind)


def _of_jax(calls: Mapping[str, Callable[..., Any]], subject: Measured, arrays: Arrays, kind: Kind) -> Results | None:
    call = calls.get(subject.name)
    if call is None:
        return None
    try:
        jax.eval_shape(partial(call, **subject.options), *given(arrays, kind))
    except TypeError:  # not with this option
        return None
    return computed(partial(call, **subject.options), given(arrays, kind), subject.differentiable)


PEERS: dict[str, Run] = {"torch": of_torch, "optax": of_optax, "keras": of_keras}
