"""Losses of regions, boxes and images, beside those of the packages for PyTorch.

Images have their channels last, and PyTorch's functions get a view with the channels second.
"""

import jax
import jax.numpy as jnp
import numpy as np

import jaxloss
from benchmarks.case import Arrays, Case, Function, mean
from benchmarks.peers import optional

optax, functional = optional("optax"), optional("torch.nn.functional")
monai, kornia = optional("monai.losses"), optional("kornia.losses")
smp, operations = optional("segmentation_models_pytorch.losses"), optional("torchvision.ops")


def cases(quick: bool) -> list[Case]:
    if quick:
        return [dice(2, 8, 3), lovasz(2, 8, 3), focal(16, 4), *boxes(32), ssim(2, 16, 1)]
    return [dice(4, 256, 21), lovasz(2, 128, 21), focal(65536, 80), *boxes(1 << 18), ssim(8, 128, 3)]


def _images(n: int, side: int, classes: int) -> Function:
    def arrays(rng: np.random.Generator) -> Arrays:
        logits = rng.standard_normal((n, side, side, classes), np.float32)
        return logits, rng.integers(0, classes, (n, side, side), np.int32)

    return arrays


def dice(n: int, side: int, classes: int) -> Case:
    def plain(logits: jax.Array, labels: jax.Array) -> jax.Array:
        p, t = jax.nn.softmax(logits), jax.nn.one_hot(labels, classes, dtype=logits.dtype)
        hit, size = (p * t).sum((1, 2)), p.sum((1, 2)) + t.sum((1, 2))
        return jnp.mean(1 - (2 * hit + 1e-5) / (size + 1e-5))

    return Case(
        loss="dice_loss",
        size=f"{n}, {side}, {side}, {classes}",
        arrays=_images(n, side, classes),
        ours=jaxloss.dice_loss,
        peers={
            "jax.numpy": plain,
            "MONAI": lambda x, y: monai.DiceLoss(softmax=True, to_onehot_y=True)(x.movedim(-1, 1), y[:, None]),
        },
        dtypes=("float32",),
    )


def lovasz(n: int, side: int, classes: int) -> Case:
    def plain(logits: jax.Array, labels: jax.Array) -> jax.Array:
        """By the differences of the Jaccard losses, of one image pooled from the batch."""
        p = jax.nn.softmax(logits).reshape(-1, classes)
        t = jax.nn.one_hot(labels, classes, dtype=p.dtype).reshape(-1, classes)
        errors = jnp.abs(t - p)
        order = jnp.argsort(-errors, 0)
        t, errors = (jnp.take_along_axis(each, order, 0) for each in (t, errors))
        count = t.sum(0)
        jaccard = 1 - (count - t.cumsum(0)) / (count + (1 - t).cumsum(0))
        slopes = jnp.concatenate([jaccard[:1], jnp.diff(jaccard, axis=0)])
        present = count > 0
        return jnp.sum(jnp.sum(errors * slopes, 0) * present) / jnp.sum(present)

    return Case(
        loss="lovasz_softmax_loss",
        size=f"{n}, {side}, {side}, {classes}",
        arrays=_images(n, side, classes),
        ours=lambda x, y: jaxloss.lovasz_softmax_loss(x, y, pixel_axes=(0, 1, 2)),
        peers={
            "jax.numpy": plain,
            "SMP": lambda x, y: smp.LovaszLoss("multiclass")(x.movedim(-1, 1), y),
        },
        dtypes=("float32",),
        # The slopes by differences lose digits in float32.
        tolerance={"float32": 5e-2},
    )


def focal(n: int, classes: int) -> Case:
    def arrays(rng: np.random.Generator) -> Arrays:
        return rng.standard_normal((n, classes), np.float32), np.float32(rng.random((n, classes)) < 0.1)

    def plain(x: jax.Array, t: jax.Array) -> jax.Array:
        p = jax.nn.sigmoid(x)
        nll = -(t * jax.nn.log_sigmoid(x) + (1 - t) * jax.nn.log_sigmoid(-x))
        return jnp.mean((0.25 * t + 0.75 * (1 - t)) * (1 - (p * t + (1 - p) * (1 - t))) ** 2 * nll)

    return Case(
        loss="sigmoid_focal_loss",
        size=f"{n}, {classes}",
        arrays=arrays,
        ours=jaxloss.sigmoid_focal_loss,
        peers={
            "jax.numpy": plain,
            "optax": mean(lambda x, t: optax.losses.sigmoid_focal_loss(x, t, alpha=0.25)),
            "torchvision": lambda x, t: operations.sigmoid_focal_loss(x, t, reduction="mean"),
            "kornia": lambda x, t: kornia.binary_focal_loss_with_logits(x, t, alpha=0.25, reduction="mean"),
        },
        dtypes=("float32",),
    )


def boxes(n: int) -> list[Case]:
    def arrays(rng: np.random.Generator) -> Arrays:
        corner, size = rng.uniform(0, 100, (n, 2)), rng.uniform(5, 50, (2, n, 2))
        other = corner + rng.uniform(-10, 10, (n, 2))
        pair = [np.concatenate([low, low + side], -1) for low, side in zip((corner, other), size, strict=True)]
        return tuple(each.astype(np.float32) for each in pair)

    def plain(a: jax.Array, b: jax.Array) -> jax.Array:
        inside = jnp.maximum(jnp.minimum(a[:, 2:], b[:, 2:]) - jnp.maximum(a[:, :2], b[:, :2]), 0).prod(-1)
        outside = (jnp.maximum(a[:, 2:], b[:, 2:]) - jnp.minimum(a[:, :2], b[:, :2])).prod(-1)
        union = (a[:, 2:] - a[:, :2]).prod(-1) + (b[:, 2:] - b[:, :2]).prod(-1) - inside
        return jnp.mean(1 - inside / (union + 1e-7) + (outside - union) / (outside + 1e-7))

    theirs = {
        "generalized_box_iou_loss": lambda a, b: operations.generalized_box_iou_loss(a, b, reduction="mean"),
        "complete_box_iou_loss": lambda a, b: operations.complete_box_iou_loss(a, b, reduction="mean"),
    }
    return [
        Case(
            loss=name,
            size=f"{n}, 4",
            arrays=arrays,
            ours=getattr(jaxloss, name),
            peers=({"jax.numpy": plain} if name.startswith("generalized") else {}) | {"torchvision": function},
            reference=None if name.startswith("generalized") else getattr(jaxloss, name),
            dtypes=("float32",),
        )
        for name, function in theirs.items()
    ]


def ssim(n: int, side: int, channels: int) -> Case:
    def arrays(rng: np.random.Generator) -> Arrays:
        images = rng.uniform(size=(n, side, side, channels))
        noisy = np.clip(images + 0.1 * rng.standard_normal(images.shape), 0, 1)
        return images.astype(np.float32), noisy.astype(np.float32)

    def plain(a: jax.Array, b: jax.Array) -> jax.Array:
        bell = jnp.exp(-(jnp.arange(-5.0, 6.0) ** 2) / (2 * 1.5**2))
        window = jnp.outer(bell, bell) / bell.sum() ** 2

        def blur(x: jax.Array) -> jax.Array:
            each = x.transpose(0, 3, 1, 2).reshape(-1, 1, side, side)
            kernel = window[None, None].astype(x.dtype)
            return jax.lax.conv(each, kernel, (1, 1), "VALID", precision="highest")

        x, y = blur(a), blur(b)
        variances, both = blur(a * a) - x * x + blur(b * b) - y * y, blur(a * b) - x * y
        found = (2 * x * y + 1e-4) * (2 * both + 9e-4) / ((x * x + y * y + 1e-4) * (variances + 9e-4))
        return 1 - jnp.mean(found)

    return Case(
        loss="ssim_loss",
        size=f"{n}, {side}, {side}, {channels}",
        arrays=arrays,
        ours=jaxloss.ssim_loss,
        peers={
            "jax.numpy": plain,
            "kornia": lambda a, b: 2 * kornia.ssim_loss(a.movedim(-1, 1), b.movedim(-1, 1), 11, padding="valid"),
        },
        dtypes=("float32",),
    )
