"""What linear cross-entropy needs of every device of a mesh, and what devices exchange: a model of a few products.

`python -m benchmarks.scaling` prints the table of docs/scaling.md. The tests compare the model with compiled programs.
"""

from collections.abc import Iterator
from dataclasses import dataclass

FLOAT32 = 4
CHUNK = 8192
"""Tokens at a time on accelerators, where the classes of a device are no more than 65,536."""


@dataclass(frozen=True)
class Step:
    """Value and gradient of the loss: tokens split over the data axis of a mesh, classes over its model axis."""

    tokens: int
    width: int
    classes: int
    data: int
    model: int
    chunk: int = CHUNK
    itemsize: int = 2
    """Of hidden and of the kernel."""

    @property
    def hidden(self) -> int:
        """Bytes of a device's hidden states, or of their gradient."""
        return self.tokens // self.data * self.width * self.itemsize

    @property
    def kernel(self) -> int:
        """Numbers in a device's part of the kernel."""
        return self.width * self.classes // self.model

    @property
    def memory(self) -> int:
        """Temporary bytes of a device, at most: a chunk of logits, and both gradients before they are summed.

        That of hidden needs none where XLA makes it in the place of the result.
        """
        chunk = min(self.chunk, self.tokens // self.data)
        return FLOAT32 * (chunk * self.classes // self.model + self.kernel) + self.hidden

    @property
    def along_model(self) -> int:
        """Bytes of a device that are summed over the model axis: three numbers a token, and hidden's gradient."""
        return (3 * FLOAT32 * self.tokens // self.data + self.hidden) * (self.model > 1)

    @property
    def along_data(self) -> int:
        """Bytes of a device that are summed over the data axis: the kernel's gradient."""
        return self.kernel * self.itemsize * (self.data > 1)


def rows() -> Iterator[str]:
    """The table of docs/scaling.md: a million tokens a step, classes over the eight devices of a host."""
    yield "| classes | width | devices | memory (GiB) | over the classes (MiB) | over the tokens (MiB) |"
    yield "|---|---|---|---|---|---|"
    for classes in (2**17, 2**18):
        for width in (4096, 8192):
            for devices in (8, 64, 512, 4096):
                step = Step(2**20, width, classes, devices // 8, 8)
                sizes = f"{classes:,} | {width:,} | {devices:,}"
                traffic = f"{step.along_model / 2**20:,.1f} | {step.along_data / 2**20:,.1f}"
                yield f"| {sizes} | {step.memory / 2**30:,.2f} | {traffic} |"


if __name__ == "__main__":
    print("\n".join(rows()))
