"""Cases of losses of lists of items."""

import gold_lists
import numpy as np
import ranking_formulas
from case import Case
from inputs import EXAMPLES, REAL, Arrays, Domain, Inputs, normal, takes
from measured import Measured
from mistakes import f, not_a_number, row
from references import Torch

import jaxloss

RELEVANCE = (0.0, 2.0**-30, 0.5, 1.0, 4.0)
LISTS = {name: EXAMPLES[name] for name in ("batched", "unbatched", "single", "tiny", "large")} | {
    "extra": Inputs((2, 3, 2))
}
# Items of equal scores: a sort of another library may order them in another way.
EDGES = ([[0.5, 0.25, 0.125], [3.0, 2, 1], [1.0, 2, 3]], [[0.0, 0, 0], [1.0, 1, 1], [2.0, 1, 0]])


def relevances(rng: np.random.Generator, inputs: Inputs) -> Arrays:
    shape = (*inputs.shape, inputs.size)
    targets = np.asarray(rng.integers(0, 4, shape) * 1.0)
    if inputs.size > 1:  # each list has a pair
        targets[..., :2] = (2.0, 0.0)
    return normal(rng, shape, inputs.scale), targets


@takes(REAL, Domain(RELEVANCE))
def scores_and_orders(rng: np.random.Generator, inputs: Inputs) -> Arrays:
    return relevances(rng, inputs)


@takes(REAL, Domain(RELEVANCE, (-0.5, np.nan)))
def scores_and_relevances(rng: np.random.Generator, inputs: Inputs) -> Arrays:
    return relevances(rng, inputs)


@takes(REAL, REAL)
def positive_and_negative_scores(rng: np.random.Generator, inputs: Inputs) -> Arrays:
    return normal(rng, inputs.shape, inputs.scale), normal(rng, (*inputs.shape, inputs.size), inputs.scale)


COMMON = {"element": "list", "inputs": LISTS, "edges": EDGES, "masks_items": True}


def empty_list(fn) -> object:
    return row(
        f"{fn.__name__}-empty_list",
        lambda: fn(f(4, 0), f(4, 0)),
        ValueError,
        "`scores` has shape (4, 0): axis -1 is empty, and the loss needs an entry there.",
    )


def below(fn, name: str, bound: str, value: float) -> object:
    return row(
        f"{fn.__name__}-{name}",
        lambda: fn(f(4, 3), f(4, 3), **{name: value}),
        ValueError,
        f"`{name}` is {value}, but must be {bound}.",
    )


CASES = [
    Case(
        jaxloss.ListNetLoss,
        scores_and_orders,
        **COMMON,
        reference=Torch(ranking_formulas.lists(ranking_formulas.listnet)),
        accuracy=(Measured(gold_lists.listnet_loss, **gold_lists.OF_LISTS),),
        mistakes=(
            empty_list(jaxloss.listnet_loss),
            row(
                "listnet_loss-normalization",
                lambda: jaxloss.listnet_loss(f(4, 3), f(4, 3), normalization="mean"),
                ValueError,
                "`normalization` is 'mean'; it must be 'softmax' or 'sum'. None takes the targets as they are.",
            ),
        ),
    ),
    Case(
        jaxloss.ListNetLoss,
        scores_and_relevances,
        variant="relevances",
        options=({"normalization": "sum"}, {"normalization": None}),
        **COMMON,
        reference=Torch(ranking_formulas.lists(ranking_formulas.listnet)),
    ),
    Case(
        jaxloss.ListMLELoss,
        scores_and_orders,
        **COMMON,
        reference=Torch(ranking_formulas.lists(ranking_formulas.listmle)),
        accuracy=(Measured(gold_lists.listmle_loss, **gold_lists.OF_LISTS),),
        mistakes=(empty_list(jaxloss.listmle_loss),),
    ),
    Case(
        jaxloss.PairwiseLogisticLoss,
        scores_and_orders,
        options=({}, {"sigma": 0.5}),
        **COMMON,
        reference=Torch(ranking_formulas.lists(ranking_formulas.pairwise_logistic)),
        accuracy=(Measured(gold_lists.pairwise_logistic_loss, **gold_lists.OF_LISTS),),
        mistakes=(
            empty_list(jaxloss.pairwise_logistic_loss),
            below(jaxloss.pairwise_logistic_loss, "sigma", "above 0", 0.0),
        ),
    ),
    Case(
        jaxloss.PairwiseHingeLoss,
        scores_and_orders,
        options=({}, {"margin": 0.25}),
        **COMMON,
        reference=Torch(ranking_formulas.lists(ranking_formulas.pairwise_hinge)),
        accuracy=(Measured(gold_lists.pairwise_hinge_loss, **gold_lists.OF_LISTS),),
        mistakes=(
            empty_list(jaxloss.pairwise_hinge_loss),
            not_a_number(jaxloss.pairwise_hinge_loss, f(4, 3), f(4, 3)),
        ),
    ),
    Case(
        jaxloss.LambdaLoss,
        scores_and_relevances,
        options=(
            {},
            {"weighting": "lambdarank", "k": 2, "sigma": 0.5},
            {"weighting": "ndcg2"},
            {"weighting": "ndcg1"},
            {"weighting": None},
            {"mu": 2.0},
        ),
        **COMMON,
        reference=Torch(ranking_formulas.lists(ranking_formulas.lambda_weighted)),
        accuracy=(Measured(gold_lists.lambda_loss, **gold_lists.OF_LISTS),),
        mistakes=(
            empty_list(jaxloss.lambda_loss),
            below(jaxloss.lambda_loss, "sigma", "above 0", 0.0),
            below(jaxloss.lambda_loss, "mu", "at least 0", -1.0),
            row(
                "lambda_loss-weighting",
                lambda: jaxloss.lambda_loss(f(4, 3), f(4, 3), weighting="ndcg"),
                ValueError,
                "`weighting` is 'ndcg'; it must be 'ndcg2pp', 'ndcg2', 'lambdarank' or 'ndcg1'. None weighs",
            ),
            row(
                "lambda_loss-k",
                lambda: jaxloss.lambda_loss(f(4, 3), f(4, 3), k=0),
                ValueError,
                "`k` is 0, but must be at least 1, or None for all ranks.",
            ),
        ),
    ),
    Case(
        jaxloss.ApproxNDCGLoss,
        scores_and_relevances,
        options=({}, {"temperature": 0.25}),
        **COMMON,
        reference=Torch(ranking_formulas.lists(ranking_formulas.approx_ndcg)),
        accuracy=(Measured(gold_lists.approx_ndcg_loss, **gold_lists.OF_LISTS),),
        mistakes=(
            empty_list(jaxloss.approx_ndcg_loss),
            below(jaxloss.approx_ndcg_loss, "temperature", "above 0", 0.0),
        ),
    ),
    Case(
        jaxloss.CoSENTLoss,
        scores_and_orders,
        options=({}, {"scale": 1.0}),
        **COMMON,
        reference=Torch(ranking_formulas.lists(ranking_formulas.cosent)),
        accuracy=(Measured(gold_lists.cosent_loss, **gold_lists.OF_LISTS | {"inputs": gold_lists.COSINES}),),
        mistakes=(empty_list(jaxloss.cosent_loss), below(jaxloss.cosent_loss, "scale", "above 0", 0.0)),
    ),
    Case(
        jaxloss.NegativeSamplingLoss,
        positive_and_negative_scores,
        element="example",
        inputs=LISTS,
        edges=([0.0, 30, -1e4], [[0.0, 0], [30.0, -30], [-1e4, 1e4]]),
        differentiable=(0, 1),
        reference=Torch(ranking_formulas.negative_sampling),
        accuracy=(
            Measured(
                gold_lists.negative_sampling_loss,
                gold_lists.sampled,
                gold_lists.ordinary_sampled,
                inputs=gold_lists.LISTS,
                differentiable=(0, 1),
            ),
        ),
        mistakes=(
            row(
                "negative_sampling_loss-shapes",
                lambda: jaxloss.negative_sampling_loss(f(4), f(4)),
                ValueError,
                "`negative_scores` has shape (4,), but for `positive_scores` (4,) it must be (4, K).",
            ),
        ),
    ),
]
