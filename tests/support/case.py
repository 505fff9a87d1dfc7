"""One Case a loss: all that the tests know of it."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from inputs import EXAMPLES, Arrays, Inputs, Options, class_weight, head_bias, kernel_weight, snapped
from measured import Measured
from references import Reference, Torch

import jaxloss


@dataclass(frozen=True, eq=False)
class Case:
    """A loss, and all that is needed to try it.

    It says how to make inputs, which options to try and which inputs have gradients; the fixtures, the parity tests,
    the laws and the generated tables take everything else from it. Inputs have few digits, so that they are the same
    numbers in every dtype.
    """

    loss: type[jaxloss.Loss]
    make: Callable[[np.random.Generator, Inputs], Arrays]
    """Inputs for an `Inputs`: predictions first. `inputs.takes` notes the domain of each."""
    element: str = "number"
    """The thing that has one loss, as the table of the family's page says: a number, a token, a pair, ..."""
    options: tuple[Options, ...] = ({},)
    """Option sets; `class_weight` stands for an array that depends on the inputs."""
    inputs: Mapping[str, Inputs] = field(default_factory=lambda: EXAMPLES)
    edges: Arrays | None = None
    """Inputs at kinks, zeros and limits."""
    differentiable: tuple[int, ...] = (0,)
    """Positions of the inputs whose gradient the reference has."""
    reductions: tuple[str, ...] = ("none", "mean", "sum")
    variant: str = ""
    """Distinguishes two Cases of one loss."""
    reference: Reference = Torch()
    """Where the expected values come from."""
    mistakes: tuple[Any, ...] = ()
    """Rows of the mistakes that this loss alone can meet; those that every loss can meet are derived."""
    accuracy: tuple[Measured, ...] = ()
    """Formulas in many digits, with the points at which the loss is compared with them."""
    never_negative: bool = True
    shared: tuple[int, ...] = ()
    """Positions of the inputs that all examples share, which laws about examples hold fixed."""
    float32_losses: bool = False
    """Whether unreduced losses of low-precision inputs are float32."""
    compares_examples: bool = False
    """Whether the loss of an example depends on the other examples of its batch."""
    compares_tokens: bool = False
    """Whether the loss of a token depends on the other tokens of its sequence, the last axis."""
    regions: bool = False
    """Whether an example is an image with a loss for each of its classes, or with one loss. It needs its axis then."""
    of_classes: bool = False
    """Whether an element is a class: a column of the second input. Under the laws each class has one example."""
    masks_items: bool = False
    """Whether `where` masks the items of an element: it has one more axis, the last, than the unreduced loss."""
    true_gradient: bool = True
    """Whether the gradient is the value's derivative. It is not where a factor that depends on an input is constant."""
    real: tuple[str, ...] = ()
    """Names of the inputs that may have any real dtype, booleans too."""
    required: Options = field(default_factory=dict)
    """Options that a call needs where it has no others: the inputs do not fit the defaults."""
    constants: tuple[str, ...] = ()
    """Options that are constants by definition: numbers whose gradient is 0."""

    @property
    def name(self) -> str:
        return self.loss.fn.__name__

    @property
    def group(self) -> str:
        """Tests of one group run in one process, which compiles their programs once."""
        return self.name

    @property
    def id(self) -> str:
        return f"{self.name}_{self.variant}" if self.variant else self.name

    def arrays(self, which: str = "batched", **changes: Any) -> Arrays:
        if which == "edges":
            assert self.edges is not None
            return tuple(map(np.asarray, self.edges))
        inputs = self.inputs[which]
        inputs = Inputs(**(vars(inputs) | changes))
        made = self.make(np.random.default_rng([inputs.seed, len(inputs.shape), inputs.size]), inputs)
        return tuple(snapped(array) if array.dtype == np.float64 else array for array in made)

    def kept(self, shape: tuple[int, ...], which: str = "batched") -> tuple[int, ...]:
        """The shape of `where` for losses of a shape."""
        return (*shape, self.inputs[which].size) if self.masks_items else shape

    def which(self) -> list[str]:
        return [*self.inputs, *(["edges"] if self.edges is not None else [])]

    def option_sets(self, arrays: Arrays) -> list[dict[str, Any]]:
        return [resolved(options, arrays) for options in self.options]


def resolved(options: Options, arrays: Arrays) -> dict[str, Any]:
    """The options, with the arrays that depend on the inputs made."""
    dependent = (class_weight, kernel_weight, head_bias)
    return {
        name: value(arrays) if any(value is each for each in dependent) else value for name, value in options.items()
    }
