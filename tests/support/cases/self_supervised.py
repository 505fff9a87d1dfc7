"""Cases of losses of two views without negatives."""

import gold_self_supervised
import numpy as np
import self_supervised_formulas as formulas
from case import Case
from inputs import EXAMPLES, REAL, Arrays, Inputs, class_weight, normal, takes
from measured import Measured
from mistakes import f, row
from references import Torch

import jaxloss

WIDTH, STUDENT_VIEWS, TEACHER_VIEWS = 3, 3, 2
BATCHES = {name: EXAMPLES[name] for name in ("batched", "unbatched", "tiny", "large")} | {"extra": Inputs((2, 3, 2))}
# Equal views, one feature that is constant, and one that is twice the other.
EDGES = ([[1.0, 0, 2], [0, 0, 0], [-1, 0, -2]], [[1.0, 0, 2], [0, 0, 0], [-1, 0, -2]])
VIEWS = {"view_axis": -2}


@takes(REAL, REAL)
def two_views(rng: np.random.Generator, inputs: Inputs) -> Arrays:
    shape = (*inputs.shape, inputs.size, WIDTH)
    first = normal(rng, shape, inputs.scale)
    return first, first / 2 + normal(rng, shape, inputs.scale)


@takes(REAL, REAL)
def student_and_teacher(rng: np.random.Generator, inputs: Inputs) -> Arrays:
    student, teacher = (
        normal(rng, (*inputs.shape, views, inputs.size), inputs.scale) for views in (STUDENT_VIEWS, TEACHER_VIEWS)
    )
    return student, teacher


COMMON = {"element": "batch", "edges": EDGES, "masks_items": True, "differentiable": (0, 1)}


def of_rows(loss: type[jaxloss.Loss], weight: str) -> tuple[object, ...]:
    """Mistakes with the rows of two views."""
    fn, name = loss.fn, loss.fn.__name__
    return (
        row(f"{name}-other_rows", lambda: fn(f(4, 3), f(2, 3)), ValueError, "`embeddings2` has shape (2, 3), but"),
        row(f"{name}-one_row", lambda: fn(f(3), f(3)), ValueError, "has shape (3,), but must be (..., rows, width)."),
        row(f"{name}-no_rows", lambda: fn(f(0, 3), f(0, 3)), ValueError, "`embeddings1` has shape (0, 3): axis -2 is"),
        row(f"{name}-no_width", lambda: fn(f(3, 0), f(3, 0)), ValueError, "`embeddings1` has shape (3, 0): axis -1 is"),
        row(
            f"{name}-{weight}",
            lambda: fn(f(4, 3), f(4, 3), **{weight: -1.0}),
            ValueError,
            f"`{weight}` is -1.0, but must be at least 0.",
        ),
        row(f"{name}-eps", lambda: fn(f(4, 3), f(4, 3), eps=0), ValueError, "`eps` is 0, but must be above 0."),
    )


CASES = [
    Case(
        jaxloss.BarlowTwinsLoss,
        two_views,
        options=({}, {"off_diagonal_weight": 0.5, "eps": 0.25}),
        inputs=BATCHES | {"single": EXAMPLES["single"]},
        reference=Torch(formulas.barlow_twins),
        mistakes=of_rows(jaxloss.BarlowTwinsLoss, "off_diagonal_weight"),
        **COMMON,
    ),
    Case(
        jaxloss.VICRegLoss,
        two_views,
        options=(
            {},
            {"invariance_weight": 2.0, "variance_weight": 0.5, "covariance_weight": 4.0, "eps": 0.25},
        ),
        inputs=BATCHES,
        reference=Torch(formulas.vicreg),
        mistakes=of_rows(jaxloss.VICRegLoss, "variance_weight"),
        **COMMON,
    ),
    Case(
        jaxloss.DINOLoss,
        student_and_teacher,
        element="example",
        options=(
            VIEWS,
            {**VIEWS, "center": class_weight, "student_temperature": 0.5, "teacher_temperature": 0.25},
        ),
        inputs=EXAMPLES | {"extra": Inputs((2, 3, 2))},
        required=VIEWS,
        differentiable=(0, 1),
        reference=Torch(formulas.dino),
        accuracy=(
            Measured(
                gold_self_supervised.dino_loss,
                gold_self_supervised.views_of_logits,
                student_and_teacher,
                options={**VIEWS, "student_temperature": 0.5, "teacher_temperature": 0.25},
                inputs=Inputs((200,), size=10),
                differentiable=(0, 1),
                ulps=(4, 4),
            ),
        ),
        mistakes=(
            row(
                "dino_loss-no_views",
                lambda: jaxloss.dino_loss(f(3), f(3)),
                ValueError,
                "`student_logits` has shape (3,), but needs an axis of views and one of classes.",
            ),
            row(
                "dino_loss-views_of_classes",
                lambda: jaxloss.dino_loss(f(4, 3), f(4, 3), view_axis=-1),
                ValueError,
                "`student_logits` has shape (4, 3), but needs an axis of views and one of classes.",
            ),
            row(
                "dino_loss-other_examples",
                lambda: jaxloss.dino_loss(f(3, 4, 5), f(2, 1, 5)),
                ValueError,
                "`teacher_logits` has shape (2, 1, 5), but `student_logits` has shape (3, 4, 5): without the axis of ",
                "views, 0, they must be equal.",
            ),
            row(
                "dino_loss-one_view",
                lambda: jaxloss.dino_loss(f(1, 4, 5), f(1, 4, 5)),
                ValueError,
                "`student_logits` and `teacher_logits` have one view each, so that no two views differ.",
            ),
            row(
                "dino_loss-center",
                lambda: jaxloss.dino_loss(f(3, 4, 5), f(2, 4, 5), center=f(4)),
                ValueError,
                "`center` has shape (4,), but must have shape (5,): the logits have that number of classes.",
            ),
            row(
                "dino_loss-temperature",
                lambda: jaxloss.dino_loss(f(3, 4, 5), f(2, 4, 5), teacher_temperature=0.0),
                ValueError,
                "`teacher_temperature` is 0.0, but must be above 0.",
            ),
        ),
    ),
]
