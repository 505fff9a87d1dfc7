"""Loss functions for JAX and Flax, with the semantics of `torch.nn`."""

from types import FunctionType

from jaxloss._core.domains import checked
from jaxloss._core.objects import Loss, LossSum, parts
from jaxloss._core.pytree import static
from jaxloss._core.reduction import Mean, legacy_reduction, reduce
from jaxloss._core.types import Reduction
from jaxloss._losses import (
    alignment,
    audio,
    binary,
    boxes,
    classification,
    contrastive,
    counts,
    detection,
    distillation,
    distributions,
    divergence,
    embedding,
    forecast,
    generative,
    images,
    imbalance,
    likelihood,
    linear,
    margin,
    margin_softmax,
    metric,
    noise,
    ordinal,
    point_sets,
    policy,
    preference,
    ranking,
    regression,
    robust,
    scores,
    segmentation,
    self_supervised,
    sequence,
    survival,
    tokens,
    transducer,
)
from jaxloss._losses.alignment import *
from jaxloss._losses.audio import *
from jaxloss._losses.binary import *
from jaxloss._losses.boxes import *
from jaxloss._losses.classification import *
from jaxloss._losses.contrastive import *
from jaxloss._losses.counts import *
from jaxloss._losses.detection import *
from jaxloss._losses.distillation import *
from jaxloss._losses.distributions import *
from jaxloss._losses.divergence import *
from jaxloss._losses.embedding import *
from jaxloss._losses.forecast import *
from jaxloss._losses.generative import *
from jaxloss._losses.images import *
from jaxloss._losses.imbalance import *
from jaxloss._losses.likelihood import *
from jaxloss._losses.linear import *
from jaxloss._losses.margin import *
from jaxloss._losses.margin_softmax import *
from jaxloss._losses.metric import *
from jaxloss._losses.noise import *
from jaxloss._losses.ordinal import *
from jaxloss._losses.point_sets import *
from jaxloss._losses.policy import *
from jaxloss._losses.preference import *
from jaxloss._losses.ranking import *
from jaxloss._losses.regression import *
from jaxloss._losses.robust import *
from jaxloss._losses.scores import *
from jaxloss._losses.segmentation import *
from jaxloss._losses.self_supervised import *
from jaxloss._losses.sequence import *
from jaxloss._losses.survival import *
from jaxloss._losses.tokens import *
from jaxloss._losses.transducer import *

__version__ = "0.1.0"

__all__ = ["Loss", "LossSum", "Mean", "Reduction", "checked", "legacy_reduction", "parts", "reduce", "static"]
__all__ += alignment.__all__
__all__ += audio.__all__
__all__ += binary.__all__
__all__ += boxes.__all__
__all__ += classification.__all__
__all__ += contrastive.__all__
__all__ += counts.__all__
__all__ += detection.__all__
__all__ += distillation.__all__
__all__ += distributions.__all__
__all__ += divergence.__all__
__all__ += embedding.__all__
__all__ += forecast.__all__
__all__ += generative.__all__
__all__ += images.__all__
__all__ += imbalance.__all__
__all__ += likelihood.__all__
__all__ += linear.__all__
__all__ += margin.__all__
__all__ += margin_softmax.__all__
__all__ += metric.__all__
__all__ += noise.__all__
__all__ += ordinal.__all__
__all__ += point_sets.__all__
__all__ += policy.__all__
__all__ += preference.__all__
__all__ += ranking.__all__
__all__ += regression.__all__
__all__ += robust.__all__
__all__ += scores.__all__
__all__ += segmentation.__all__
__all__ += self_supervised.__all__
__all__ += sequence.__all__
__all__ += survival.__all__
__all__ += tokens.__all__
__all__ += transducer.__all__

# Where an object is defined may change. Its public name does not, and pickles refer to objects by it.
for _public in [value for name, value in vars().items() if name in __all__]:
    if isinstance(_public, type | FunctionType):
        _public.__module__ = __name__
