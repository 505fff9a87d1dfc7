"""Cases of contrastive losses."""

import contrastive_formulas as formulas
import inputs
from case import Case
from inputs import Inputs
from mistakes import f, i, row
from references import Torch

import jaxloss

BATCHES = {
    "batched": Inputs((5,)),
    "single": Inputs((3,), size=1),
    "prime": Inputs((2,), size=131),
    "tiny": Inputs((7,), scale=0.02),
    "large": Inputs((7,), scale=30),
    "huge": Inputs((7,), scale=1e4),
}
COMPARED = {"inputs": BATCHES, "differentiable": (0, 1), "compares_examples": True, "float32_losses": True}


def pairs_of(loss: type[jaxloss.Loss]) -> tuple[object, ...]:
    """Mistakes with two sets of embeddings."""
    fn, name = loss.fn, loss.fn.__name__
    return (
        row(
            f"{name}-one_embedding",
            lambda: fn(f(3), f(3)),
            ValueError,
            "has shape (3,), but must be (examples, width): use jax.vmap for several batches.",
        ),
        row(f"{name}-other_width", lambda: fn(f(4, 3), f(4, 2)), ValueError, "(4, 2), but `", "has another width."),
        row(f"{name}-groups", lambda: fn(f(4, 3), f(4, 3), groups=i(3)), ValueError, "`groups` has shape (3,)"),
        row(f"{name}-temperature", lambda: fn(f(4, 3), f(4, 3), temperature=0.0), ValueError, "must be above 0."),
    )


CASES = [
    Case(
        jaxloss.InfoNCELoss,
        inputs.vectors(2),
        element="query",
        options=(
            {"temperature": 0.5},
            {"in_batch": False},
            {"similarity": "dot", "chunk_size": 2, "temperature": 4.0},
        ),
        reference=Torch(formulas.info_nce),
        mistakes=(
            *pairs_of(jaxloss.InfoNCELoss),
            row(
                "info_nce_loss-fewer_keys",
                lambda: jaxloss.info_nce_loss(f(4, 3), f(2, 3)),
                ValueError,
                "`keys` has shape (2, 3), but without `targets` each of 4 queries owns a key.",
            ),
        ),
        **COMPARED,
    ),
    Case(
        jaxloss.NTXentLoss,
        inputs.vectors(2),
        element="pair",
        options=({"temperature": 0.5}, {"chunk_size": 2}),
        reference=Torch(formulas.nt_xent),
        mistakes=pairs_of(jaxloss.NTXentLoss),
        **COMPARED,
    ),
    Case(
        jaxloss.NTXentLoss,
        inputs.vectors(2),
        element="pair",
        variant="decoupled",
        options=({"decoupled": True, "temperature": 0.5},),
        reference=Torch(formulas.nt_xent),
        never_negative=False,
        **COMPARED,
    ),
    Case(
        jaxloss.CLIPLoss,
        inputs.vectors(2),
        element="pair",
        options=({"temperature": 0.5}, {"chunk_size": 2}),
        reference=Torch(formulas.clip),
        mistakes=pairs_of(jaxloss.CLIPLoss),
        **COMPARED,
    ),
    Case(
        jaxloss.SigLIPLoss,
        inputs.vectors(2),
        element="pair",
        options=({}, {"temperature": 0.5, "bias": -1.0, "chunk_size": 2}),
        reference=Torch(formulas.siglip),
        mistakes=pairs_of(jaxloss.SigLIPLoss),
        **COMPARED,
    ),
    Case(
        jaxloss.SupConLoss,
        inputs.vectors_and_classes,
        never_negative=False,  # by rounding
        element="example",
        options=({"temperature": 0.5}, {"chunk_size": 2, "ignore_index": 1}),
        reference=Torch(formulas.supcon),
        mistakes=(
            row(
                "supcon_loss-other_batch",
                lambda: jaxloss.supcon_loss(f(4, 3), i(3)),
                ValueError,
                "`targets` has shape (3,), but there are 4 embeddings.",
            ),
        ),
        **{**COMPARED, "differentiable": (0,)},
    ),
]
