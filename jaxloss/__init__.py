"""Loss functions for JAX and Flax, with the semantics of `torch.nn`."""

from jaxloss import (
    _binary,
    _classification,
    _divergence,
    _embedding,
    _likelihood,
    _linear,
    _margin,
    _regression,
    _sequence,
)
from jaxloss._binary import *
from jaxloss._checked import checked
from jaxloss._classification import *
from jaxloss._divergence import *
from jaxloss._embedding import *
from jaxloss._likelihood import *
from jaxloss._linear import *
from jaxloss._loss import Loss, parts
from jaxloss._margin import *
from jaxloss._pytree import static
from jaxloss._reduce import Mean, legacy_reduction, reduce
from jaxloss._regression import *
from jaxloss._sequence import *

__version__ = "0.1.0"

__all__ = ["Loss", "Mean", "checked", "legacy_reduction", "parts", "reduce", "static"]
__all__ += _binary.__all__
__all__ += _classification.__all__
__all__ += _divergence.__all__
__all__ += _embedding.__all__
__all__ += _likelihood.__all__
__all__ += _linear.__all__
__all__ += _margin.__all__
__all__ += _regression.__all__
__all__ += _sequence.__all__
