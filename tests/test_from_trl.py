"""Every row of docs/from_trl.md spells the loss that TRL 1.16 has under that name: its formulas, in NumPy."""

import re
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jaxloss

PATH = Path(__file__).parent.parent / "docs/from_trl.md"
if not PATH.exists():
    pytest.skip("a source distribution has no docs", allow_module_level=True)
PAGE = PATH.read_text()
TABLES = re.findall(r"^\| TRL(?:: `(\w+)`)? \|.*\n\|---\|---\|\n((?:\|.*\n)+)", PAGE, re.MULTILINE)


class Row(NamedTuple):
    """TRL's options and our call."""

    trainer: str
    options: str
    call: str


def row(config: str, text: str) -> Row:
    """The row of a table. The table names the trainer, or the row does."""
    theirs, ours = re.findall(r"`([^`]+)`", text)
    spelled = theirs if config == "" else f"{config}({theirs})"
    config, _, options = spelled.removesuffix(")").partition("(")
    return Row(config, options, ours)


ROWS = [row(config, text) for config, rows in TABLES for text in rows.splitlines()]

RNG = np.random.default_rng(0)
N, T = 6, 5
LENGTHS = np.array([5, 3, 4, 1, 2, 5])
OTHER_LENGTHS = np.array([2, 5, 3, 3, 4, 1])
KEEP = np.arange(T) < LENGTHS[:, None]
CHOSEN, REJECTED = -RNG.gamma(4, 2, (2, N)) - 0.1
REF_CHOSEN, REF_REJECTED = CHOSEN + RNG.normal(size=N), REJECTED + RNG.normal(size=N)
DESIRABLE = np.array([True, False, True, True, False, False])
REWARDS, OTHER_REWARDS = RNG.normal(size=(2, N))
OLD, REF = -RNG.gamma(2, 1, (2, N, T))
NEW = OLD + np.linspace(-1, 1, N * T).reshape(T, N).T  # ratios on all sides of every bound, for both signs
ADVANTAGES = np.array([1.0, -0.5, 0.75, -1.25, 0.5, -0.25])
KL = 0.75

AVERAGES = (CHOSEN / LENGTHS, REJECTED / OTHER_LENGTHS, REF_CHOSEN / LENGTHS, REF_REJECTED / OTHER_LENGTHS)
NAMES = {
    "pairs": (CHOSEN, REJECTED, REF_CHOSEN, REF_REJECTED),
    "averages": AVERAGES,
    "chosen": CHOSEN,
    "rejected": REJECTED,
    "ref_chosen": REF_CHOSEN,
    "avg_chosen": AVERAGES[0],
    "avg_rejected": AVERAGES[1],
    "desirable": DESIRABLE,
    "kl": KL,
    "rewards": REWARDS,
    "other_rewards": OTHER_REWARDS,
    "tokens": (NEW, OLD, ADVANTAGES, REF),
    "where": KEEP,
}


def sigmoid(x: Any) -> Any:
    return 1 / (1 + np.exp(-x))


def log_sigmoid(x: Any) -> Any:
    return -np.logaddexp(0, -x)


def dpo(
    loss_type: Any = "sigmoid",
    label_smoothing: float = 0.0,
    f_divergence_type: str = "reverse_kl",
    f_alpha_divergence_coef: float = 1.0,
    loss_weights: list[float] | None = None,
    beta: float = 0.1,
) -> Any:
    """DPOTrainer._compute_loss."""
    if loss_weights is not None:
        return sum(weight * dpo(each) for each, weight in zip(loss_type, loss_weights, strict=True))
    chosen, rejected = CHOSEN - REF_CHOSEN, REJECTED - REF_REJECTED
    scores = {
        "reverse_kl": lambda x: x,
        "forward_kl": lambda x: 1 - np.exp(-x),
        "js_divergence": lambda x: np.log(2) + log_sigmoid(x),
        "alpha_divergence": lambda x: (np.exp((f_alpha_divergence_coef - 1) * x) - 1) / (f_alpha_divergence_coef - 1),
    }
    by_length = loss_type in ("ipo", "sigmoid_norm")
    chosen_score, rejected_score = (
        scores[f_divergence_type](ratio) / (lengths if by_length else 1)
        for ratio, lengths in ((chosen, LENGTHS), (rejected, OTHER_LENGTHS))
    )
    delta = chosen_score - rejected_score
    high, low, logit, e = beta * chosen, beta * rejected, beta * delta, label_smoothing
    if loss_type == "exo_pair":
        return sigmoid(logit) * (log_sigmoid(logit) - np.log1p(-e)) + sigmoid(-logit) * (
            log_sigmoid(-logit) - np.log(e)
        )
    return {
        "sigmoid": -log_sigmoid(logit),
        "sigmoid_norm": -log_sigmoid(logit),
        "hinge": np.maximum(1 - logit, 0),
        "ipo": (delta - 1 / (2 * beta)) ** 2,
        "nca_pair": -log_sigmoid(high) - 0.5 * log_sigmoid(-high) - 0.5 * log_sigmoid(-low),
        "robust": (-(1 - e) * log_sigmoid(logit) + e * log_sigmoid(-logit)) / (1 - 2 * e),
        "bco_pair": -log_sigmoid(high) - log_sigmoid(-low),
        "sppo_hard": (chosen - 0.5 / beta) ** 2 + (rejected + 0.5 / beta) ** 2,
        "apo_zero": 1 - sigmoid(high) + sigmoid(low),
        "apo_down": sigmoid(high) + 1 - sigmoid(beta * (chosen - rejected)),
    }[loss_type]


def cpo(loss_type: str, cpo_alpha: float, beta: float = 0.1, simpo_gamma: float = 0.5) -> Any:
    """CPOTrainer.cpo_loss. Its IPO and SimPO take averages."""
    assert cpo_alpha == 0
    averaged = loss_type in ("ipo", "simpo")
    logits = AVERAGES[0] - AVERAGES[1] if averaged else CHOSEN - REJECTED
    return {
        "sigmoid": -log_sigmoid(beta * logits),
        "simpo": -log_sigmoid(beta * (logits - simpo_gamma / beta)),
        "hinge": np.maximum(1 - beta * logits, 0),
        "ipo": (logits - 1 / (2 * beta)) ** 2,
    }[loss_type]


def orpo(beta: float) -> Any:
    """ORPOTrainer.odds_ratio_loss, with the sign that the trainer gives it."""
    chosen, rejected = AVERAGES[:2]
    log_odds = chosen - rejected - (np.log1p(-np.exp(chosen)) - np.log1p(-np.exp(rejected)))
    return -beta * log_sigmoid(log_odds)


def kto(loss_type: str, beta: float = 0.1) -> Any:
    """KTOTrainer's losses of chosen and rejected completions."""
    gain, point = CHOSEN - REF_CHOSEN, max(KL, 0) if loss_type == "kto" else 0
    return np.where(DESIRABLE, 1 - sigmoid(beta * (gain - point)), 1 - sigmoid(beta * (point - gain)))


def reward(center_rewards_coefficient: float = 0.0) -> Any:
    """RewardTrainer.compute_loss."""
    return -log_sigmoid(REWARDS - OTHER_REWARDS) + center_rewards_coefficient * (REWARDS + OTHER_REWARDS) ** 2


def grpo(
    loss_type: str,
    epsilon: float = 0.2,
    epsilon_high: float | None = None,
    delta: float | None = None,
    beta: float = 0.0,
    importance_sampling_level: str = "token",
    max_completion_length: int = 0,
) -> Any:
    """GRPOTrainer._compute_loss. The result is a mean already."""
    high, advantages, mask = epsilon if epsilon_high is None else epsilon_high, ADVANTAGES[:, None], KEEP * 1.0
    log_ratio = NEW - OLD
    if importance_sampling_level == "sequence":
        log_ratio = (log_ratio * mask).sum(1, keepdims=True) / mask.sum(1, keepdims=True)
    ratio = np.exp(log_ratio)
    if loss_type == "cispo":
        losses = -np.minimum(ratio, high) * advantages * NEW
    elif loss_type == "sapo":
        temperature = np.where(advantages > 0, 1.0, 1.05)
        losses = -sigmoid(temperature * (ratio - 1)) * 4 / temperature * advantages
    else:
        clipped = np.clip(ratio, 1 - epsilon, 1 + high)
        capped = ratio if delta is None else np.minimum(ratio, delta)
        losses = -np.minimum(capped * advantages, clipped * advantages)
    losses = losses + beta * (np.exp(REF - NEW) - (REF - NEW) - 1)
    means = {
        ("grpo", "sapo"): lambda: ((losses * mask).sum(1) / mask.sum(1)).mean(),
        ("bnpo", "dapo", "cispo"): lambda: (losses * mask).sum() / mask.sum(),
        ("dr_grpo",): lambda: (losses * mask).sum() / (N * max_completion_length),
        ("luspo",): lambda: (losses * mask).sum(1).mean(),
    }
    return next(mean() for types, mean in means.items() if loss_type in types)


TRAINERS = {
    "DPOConfig": dpo,
    "CPOConfig": cpo,
    "ORPOConfig": orpo,
    "KTOConfig": kto,
    "RewardConfig": reward,
    "GRPOConfig": grpo,
}


def theirs(row: Row) -> float:
    """The mean of TRL's losses."""
    return float(np.mean(eval(f"{row.trainer}({row.options})", dict(TRAINERS))))


@pytest.mark.parametrize("row", ROWS, ids=lambda row: f"{row.trainer} {row.options}".replace(" ", "-"))
def test_a_row_is_the_loss_of_trl(row: Row) -> None:
    arrays = jax.tree.map(jnp.asarray, {name: value for name, value in NAMES.items() if name != "kl"})
    ours = eval(row.call, vars(jaxloss) | arrays | {"kl": KL})
    np.testing.assert_allclose(float(ours), theirs(row), rtol=1e-10)


def test_every_table_is_read_and_every_row_is_another_loss() -> None:
    assert len(TABLES) == 3
    assert len({round(theirs(row), 12) for row in ROWS}) == len(ROWS) == 34
