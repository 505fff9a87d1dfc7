"""Cases of losses of a policy's tokens. Their references are the formulas of TRL, Liger and tunix, in NumPy."""

from typing import Any

import gold_language
import numpy as np
import points
from case import Case
from inputs import REAL, Arrays, Domain, Inputs, normal, takes
from measured import Measured
from mistakes import f, row
from references import Formula

import jaxloss

# Ratios of probabilities that do not overflow: a ratio times a negative advantage has no bound.
LOG_PROBABILITY = Domain((0.0, 2.0**-30, -0.25, -1.0, -17.0))
INPUTS = {
    "batched": Inputs((5, 3)),
    "vector": Inputs((7,)),
    "extra": Inputs((2, 3, 4)),
    "tiny": Inputs((11, 2), scale=0.02),
    "large": Inputs((7, 3), scale=30),
}
SMALL = {name: INPUTS[name] for name in ("batched", "large")}


@takes(LOG_PROBABILITY, LOG_PROBABILITY, REAL)
def two_policies_and_advantages(rng: np.random.Generator, inputs: Inputs) -> Arrays:
    """Log-probabilities of tokens, those of the policy that sampled them, and advantages of the tokens."""
    scale = min(inputs.scale, 8)
    return tuple(normal(rng, inputs.shape, each) for each in (scale, scale / 4, inputs.scale))


@takes(LOG_PROBABILITY, LOG_PROBABILITY, REAL, LOG_PROBABILITY)
def three_policies_and_advantages(rng: np.random.Generator, inputs: Inputs) -> Arrays:
    return *two_policies_and_advantages(rng, inputs), normal(rng, inputs.shape, min(inputs.scale, 8))


@takes(LOG_PROBABILITY, LOG_PROBABILITY, Domain((), ()), LOG_PROBABILITY)
def advantages_of_sequences(rng: np.random.Generator, inputs: Inputs) -> Arrays:
    log_probs, old, advantages, reference = three_policies_and_advantages(rng, inputs)
    return log_probs, old, advantages[..., 0], reference


@takes(LOG_PROBABILITY, LOG_PROBABILITY)
def two_policies(rng: np.random.Generator, inputs: Inputs) -> Arrays:
    return two_policies_and_advantages(rng, inputs)[:2]


@takes(REAL, REAL)
def log_probs_and_advantages(rng: np.random.Generator, inputs: Inputs) -> Arrays:
    return normal(rng, inputs.shape, inputs.scale), normal(rng, inputs.shape, inputs.scale)


@takes(REAL, REAL, REAL)
def values_and_returns(rng: np.random.Generator, inputs: Inputs) -> Arrays:
    values, old = log_probs_and_advantages(rng, inputs)
    return values, values + old / 4, normal(rng, inputs.shape, inputs.scale)


# The formulas, of whole batches -------------------------------------------------------------------------------------


def token_count(losses: np.ndarray, aggregation: str = "token", length: float | None = None, **_: Any) -> np.ndarray:
    """TRL's `loss_type`: "grpo" is the mean of sequences' means, "dr_grpo" that of sums over a fixed length.

    A mean is the sum of the losses over this count. Where no token is masked, all sequences have the same length, and
    the mean of sequences' means is that of all tokens.
    """
    return np.full(losses.shape, 1.0 if aggregation != "fixed" else length / losses.shape[-1])


def clip(
    log_probs: np.ndarray,
    old: np.ndarray,
    advantages: np.ndarray,
    epsilon: float = 0.2,
    epsilon_high: float | None = None,
    delta: float | None = None,
    **_: Any,
) -> np.ndarray:
    """PPO as in TRL's GRPOTrainer: the smaller of two products, the ratio capped by delta in the first."""
    ratio = np.exp(log_probs - old)
    clipped = np.clip(ratio, 1 - epsilon, 1 + (epsilon if epsilon_high is None else epsilon_high))
    capped = ratio if delta is None else np.minimum(ratio, delta)
    return -np.minimum(capped * advantages, clipped * advantages)


def grpo(
    log_probs: np.ndarray,
    old: np.ndarray,
    advantages: np.ndarray,
    ref: np.ndarray,
    surrogate: str = "clip",
    ratio: str = "token",
    beta: float = 0.0,
    kl_estimator: str = "k3",
    **options: Any,
) -> np.ndarray:
    advantages = advantages if advantages.ndim == log_probs.ndim else advantages[..., None]
    log_ratio = log_probs - old
    if ratio == "sequence":
        log_ratio = log_ratio.mean(-1, keepdims=True) + 0 * log_ratio
    if surrogate == "clip":
        losses = clip(log_ratio, 0 * old, advantages, **options)
    elif surrogate == "cispo":
        # The bound is that of the paper, 1 + epsilon_high; TRL's and Liger's option is the bound itself.
        bound = 1 + options.get("epsilon_high", options.get("epsilon", 0.2))
        losses = -np.minimum(np.exp(log_ratio), bound) * advantages * log_probs
    else:
        temperature = np.where(
            advantages > 0, options.get("sapo_temperature_pos", 1.0), options.get("sapo_temperature_neg", 1.05)
        )
        losses = -4 / temperature / (1 + np.exp(-temperature * (np.exp(log_ratio) - 1))) * advantages
    return losses + beta * kl(log_probs, ref, kl_estimator)


def kl(log_probs: np.ndarray, ref: np.ndarray, estimator: str = "k3", **_: Any) -> np.ndarray:
    """tunix's compute_kl_divergence: "kl", "mse_kl" and "low_var_kl"."""
    difference = log_probs - ref
    found = {"k1": difference, "k2": difference**2 / 2, "k3": np.expm1(-difference) + difference}
    return found[estimator]


def value(values: np.ndarray, old: np.ndarray, returns: np.ndarray, epsilon: float = 0.2, **_: Any) -> np.ndarray:
    """tunix's ppo_value_loss_fn."""
    clipped = np.clip(values, old - epsilon, old + epsilon)
    return np.maximum((values - returns) ** 2, (clipped - returns) ** 2) / 2


def counted(losses: Any) -> Formula:
    return Formula(losses, count=lambda *arrays, **options: token_count(arrays[0], **options))


def moderate(number: int) -> Any:
    """Tuples of numbers whose differences do not overflow."""

    def make(kind: points.Kind) -> Arrays:
        real = kind.real()
        return points.sampled(*[real[np.abs(real) <= 1e30]] * number, number=1000)

    return make


POLICY = {"differentiable": (0,), "never_negative": False, "ulps": (3, 4), "inputs": Inputs((400,))}

CASES = [
    Case(
        jaxloss.PolicyGradientLoss,
        log_probs_and_advantages,
        element="token",
        options=({}, {"aggregation": "sequence"}, {"aggregation": "fixed", "length": 4.0}),
        inputs=INPUTS,
        edges=([[0.0, 1, -30]], [[1.0, 0, -1]]),
        never_negative=False,
        reference=counted(lambda log_probs, advantages, **_: -advantages * log_probs),
        accuracy=(Measured(gold_language.policy_gradient_loss, moderate(2), log_probs_and_advantages, **POLICY),),
        mistakes=(
            row(
                "policy_gradient_loss-without_length",
                lambda: jaxloss.policy_gradient_loss(f(4, 3), f(4), aggregation="fixed"),
                ValueError,
                "`aggregation='fixed'` needs a `length`: the number of tokens to divide by.",
            ),
            row(
                "policy_gradient_loss-length_without_use",
                lambda: jaxloss.policy_gradient_loss(f(4, 3), f(4), length=3.0),
                ValueError,
                "`length` goes with `aggregation='fixed'`, not with 'token'.",
            ),
            row(
                "policy_gradient_loss-unknown_aggregation",
                lambda: jaxloss.policy_gradient_loss(f(4, 3), f(4), aggregation="batch"),
                ValueError,
                "`aggregation` is 'batch'; it must be 'token', 'sequence' or 'fixed'.",
            ),
            row(
                "policy_gradient_loss-one_token",
                lambda: jaxloss.policy_gradient_loss(f(), f(), aggregation="sequence"),
                ValueError,
                "`log_probs` has shape (), which has no axis -1.",
            ),
            row(
                "policy_gradient_loss-advantages_of_columns",
                lambda: jaxloss.policy_gradient_loss(f(4, 3), f(3)),
                ValueError,
                "`advantages` has shape (3,), but `log_probs` has shape (4, 3)",
            ),
        ),
    ),
    Case(
        jaxloss.PPOLoss,
        two_policies_and_advantages,
        element="token",
        options=({}, {"epsilon": 0.125, "epsilon_high": 0.5, "delta": 2.0}, {"aggregation": "sequence"}),
        inputs=INPUTS,
        edges=([[0.0, 0, 0, 1, -1]], [[0.0, 0, 0, -0.5, 0.5]], [[1.0, -1, 0, 1, -1]]),
        never_negative=False,
        reference=counted(clip),
        accuracy=(Measured(gold_language.ppo_loss, moderate(3), two_policies_and_advantages, **POLICY),),
        mistakes=(
            row(
                "ppo_loss-epsilon",
                lambda: jaxloss.ppo_loss(f(3), f(3), f(3), epsilon=1.5),
                ValueError,
                "`epsilon` is 1.5, but must be at least 0 and at most 1.",
            ),
            row(
                "ppo_loss-delta",
                lambda: jaxloss.ppo_loss(f(3), f(3), f(3), delta=0.5),
                ValueError,
                "`delta` is 0.5, but must be above 1.",
            ),
        ),
    ),
    Case(
        jaxloss.PPOValueLoss,
        values_and_returns,
        element="token",
        options=({}, {"epsilon": 0.5, "aggregation": "fixed", "length": 2.0}),
        inputs=INPUTS,
        edges=([[0.0, 1, 0.25, -1]], [[0.0, 0, 0, 0]], [[0.0, 1, 1, 1]]),
        reference=counted(value),
        accuracy=(
            Measured(gold_language.ppo_value_loss, moderate(3), values_and_returns, differentiable=(0,), ulps=(3, 4)),
        ),
    ),
    Case(
        jaxloss.KLEstimate,
        two_policies,
        element="token",
        options=({}, {"estimator": "k1"}, {"estimator": "k2", "aggregation": "sequence"}),
        inputs=INPUTS,
        edges=([[0.0, 1e-4, -17]], [[0.0, 0, 17]]),
        never_negative=False,
        reference=counted(kl),
        accuracy=tuple(
            Measured(gold_language.kl_estimate, moderate(2), two_policies, {"estimator": estimator}, **POLICY)
            for estimator in ("k1", "k2", "k3")
        ),
        mistakes=(
            row(
                "kl_estimate-unknown_estimator",
                lambda: jaxloss.kl_estimate(f(3), f(3), estimator="k4"),
                ValueError,
                "`estimator` is 'k4'; it must be 'k1', 'k2' or 'k3'.",
            ),
        ),
    ),
    Case(
        jaxloss.GRPOLoss,
        three_policies_and_advantages,
        element="token",
        options=(
            {},
            {"surrogate": "sapo", "sapo_temperature_pos": 1.5},
            {"beta": 0.5, "epsilon_high": 0.375, "delta": 2.0, "kl_estimator": "k2"},
        ),
        inputs=INPUTS,
        edges=([[0.0, 0, 0, 1, -1]], [[0.0, 0, 0, -0.5, 0.5]], [[1.0, -1, 0, 1, -1]], [[0.0, 0.5, 0, 1, 2]]),
        never_negative=False,
        reference=counted(grpo),
        accuracy=tuple(
            Measured(gold_language.grpo_loss, moderate(4), three_policies_and_advantages, options, **POLICY)
            for options in ({"beta": 0.5}, {"surrogate": "sapo"})
        ),
        mistakes=(
            row(
                "grpo_loss-without_reference",
                lambda: jaxloss.grpo_loss(f(4, 3), f(4, 3), f(4), beta=0.5),
                ValueError,
                "`beta` is 0.5, but must be 0 without `ref_log_probs`.",
            ),
            row(
                "grpo_loss-sequence_of_sapo",
                lambda: jaxloss.grpo_loss(f(4, 3), f(4, 3), f(4), surrogate="sapo", ratio="sequence"),
                ValueError,
                "`ratio='sequence'` goes with `surrogate='clip'` only, not with 'sapo'.",
            ),
            row(
                "grpo_loss-unknown_surrogate",
                lambda: jaxloss.grpo_loss(f(4, 3), f(4, 3), f(4), surrogate="gspo"),
                ValueError,
                "`surrogate` is 'gspo'; it must be 'clip', 'cispo' or 'sapo'.",
            ),
            row(
                "grpo_loss-unknown_ratio",
                lambda: jaxloss.grpo_loss(f(4, 3), f(4, 3), f(4), ratio="group"),
                ValueError,
                "`ratio` is 'group'; it must be 'token' or 'sequence'.",
            ),
        ),
    ),
    Case(
        jaxloss.GRPOLoss,
        advantages_of_sequences,
        element="token",
        variant="of_sequences",
        options=(
            {"ratio": "sequence", "aggregation": "sequence"},
            {"ratio": "sequence", "aggregation": "fixed", "length": 4.0, "epsilon": 0.125},
        ),
        inputs=SMALL,
        never_negative=False,
        compares_tokens=True,
        reference=counted(grpo),
    ),
    Case(
        jaxloss.GRPOLoss,
        advantages_of_sequences,
        element="token",
        variant="cispo",
        options=({"surrogate": "cispo", "epsilon_high": 0.5},),
        inputs=SMALL,
        never_negative=False,
        true_gradient=False,
        constants=("epsilon_high",),
        reference=counted(grpo),
    ),
]
