"""The same losses in PyTorch's spelling and in ours, with their values: what changes when code is ported.

Run it with `python examples/migrate_from_torch.py`. PyTorch is not needed; where it is installed its values are shown
too, and must agree. `F` is `torch.nn.functional`, `nn` is `torch.nn`, and our names are those of `jaxloss`.
(`--quick`, which every example takes, changes nothing here.)
"""

import warnings

import numpy as np

import jaxloss

# What to know, PyTorch's spelling, ours. The text that is shown is the text that runs: the two cannot drift apart.
ROWS = """
# The class axis is the last one, as in Flax; PyTorch's layout is axis=1.
F.cross_entropy(logits, labels)
cross_entropy(logits, labels, axis=1)
# Options keep their names and defaults, ignore_index among them.
F.cross_entropy(logits, labels, ignore_index=0, label_smoothing=0.1)
cross_entropy(logits, labels, axis=1, ignore_index=0, label_smoothing=0.1)
# Padded time steps: the mask goes into the loss, as where=.
F.cross_entropy(logits, labels, reduction="none")[steps].mean()
cross_entropy(logits, labels, axis=1, where=steps)
# The deprecated flags size_average and reduce become a reduction.
F.mse_loss(predictions, targets, size_average=False)
mse_loss(predictions, targets, reduction=legacy_reduction(size_average=False))
# An element's weight is its sample_weight, which every loss takes.
F.l1_loss(predictions, targets, weight=weights)
l1_loss(predictions, targets, sample_weight=weights)
# Classes keep their names; ours are plain values, frozen pytrees, instead of modules.
nn.BCEWithLogitsLoss(pos_weight=weights)(predictions, answers)
BCEWithLogitsLoss(pos_weight=weights)(predictions, answers)
# Where the L1 loss becomes smooth is still called beta.
F.smooth_l1_loss(predictions, targets, beta=0.5)
smooth_l1_loss(predictions, targets, beta=0.5)
# The order of the arrays is the same: the variance comes third.
F.gaussian_nll_loss(predictions, targets, variances)
gaussian_nll_loss(predictions, targets, variances)
# Logarithms first, as in PyTorch; the divergence itself is the batchmean.
F.kl_div(log_probs, probs, reduction="batchmean")
kl_div(log_probs, probs, reduction="batchmean")
# Triplets need no change.
F.triplet_margin_loss(anchor, positive, negative, swap=True)
triplet_margin_loss(anchor, positive, negative, swap=True)
"""


def arrays() -> dict[str, np.ndarray]:
    rng = np.random.default_rng(0)
    made = {name: rng.normal(size=(4, 3)) for name in ("predictions", "targets", "anchor", "positive", "negative")}
    made |= {name: rng.uniform(1, 2, (4, 3)) for name in ("weights", "variances")}
    made |= {"probs": rng.dirichlet(np.ones(3), 4), "log_probs": np.log(rng.dirichlet(np.ones(3), 4))}
    made |= {"logits": rng.normal(size=(4, 5, 6)), "answers": rng.integers(0, 2, (4, 3))}  # 5 classes, 6 time steps
    made = {name: array.astype(np.float32) for name, array in made.items()}
    return made | {"labels": rng.integers(0, 5, (4, 6)), "steps": np.arange(6) < np.array([[6], [4], [3], [1]])}


def main() -> None:
    ours, theirs = vars(jaxloss) | arrays(), None
    try:
        import torch
    except ImportError:
        print("PyTorch is not installed: its values are left out.\n")
    else:
        warnings.simplefilter("ignore", UserWarning)  # the deprecated flags are among what is shown
        tensors = {name: torch.from_numpy(array) for name, array in arrays().items()}
        theirs = {"F": torch.nn.functional, "nn": torch.nn} | tensors
    for row in ROWS.split("# ")[1:]:
        title, torch_call, our_call = row.splitlines()
        value, expected = eval(our_call, ours), eval(torch_call, theirs) if theirs else None
        print(f"{title}\n  torch    {torch_call:80}{'' if expected is None else f'{expected:9.5f}'}")
        print(f"  jaxloss  {our_call:80}{value:9.5f}\n")
        if expected is not None:
            np.testing.assert_allclose(value, expected, rtol=1e-5)


if __name__ == "__main__":
    main()
