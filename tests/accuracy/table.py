"""Measure the accuracy of every loss, and write the tables of docs/numerics.md.

python -m tests.accuracy.table           # minutes; PyTorch, optax and Keras are measured where they are installed
python -m tests.accuracy.table --quick   # few numbers, only to see that it runs: prints the tables
"""

import argparse
import importlib.metadata
import importlib.util
import platform
import re
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE), str(HERE.parent / "support")]

import jax  # noqa: E402  # the path is set above
import numpy as np  # noqa: E402
from inputs import Inputs  # noqa: E402
from measure import Wanted, computed, faults, numbers, truths, units_of_last_place  # noqa: E402
from measured import DTYPES, Arrays, Measured, given  # noqa: E402
from peers import PEERS  # noqa: E402
from points import Kind  # noqa: E402
from subjects import SUBJECTS  # noqa: E402

PAGE = HERE.parent.parent / "docs/numerics.md"
NAMES = {"torch": "PyTorch", "optax": "optax", "keras": "Keras"}


def ordinary(subjects: list[Measured]) -> Iterator[str]:
    """The largest errors on ordinary inputs."""
    yield "| loss | " + " | ".join(f"{dtype} | derivative" for dtype in DTYPES) + " |"
    yield "|---" * (1 + 2 * len(DTYPES)) + "|"
    for subject in subjects:
        cells = []
        for dtype in DTYPES:
            kind = Kind(dtype)
            arrays = subject.ordinary_in(kind)
            results = computed(subject.ours, given(arrays, kind), subject.differentiable)
            cells += units_of_last_place(results, truths(subject.truth, arrays), kind)
        yield f"| {named(subject)} | " + " | ".join(f"{cell:.1f}" for cell in cells) + " |"


def adversarial(subjects: list[Measured], peers: list[str], most: int | None) -> Iterator[str]:
    """How many numbers are wrong, of all that are tried, in all three dtypes."""
    yield "| " + " | ".join(["loss", "numbers", "jaxloss", *(NAMES[peer] for peer in peers)]) + " |"
    yield "|---" * (3 + len(peers)) + "|"
    sums = np.zeros((1 + len(peers), 2), int)
    for subject in subjects:
        counts = np.zeros_like(sums)
        for dtype in DTYPES:
            kind = Kind(dtype)
            arrays = tuple(array[:most] for array in subject.tried_at(kind))
            ours = computed(subject.ours, given(arrays, kind), subject.differentiable)
            wanted = truths(subject.truth, arrays)
            others = [PEERS[peer](subject, arrays, kind) for peer in peers]
            for i, results in enumerate([ours, *others]):
                if results is not None:
                    counts[i] += wrong(subject, results, wanted, arrays, kind)
        sums += counts
        yield f"| {named(subject)} | {counts[0, 1]} | " + " | ".join(map(share, counts)) + " |"
    yield f"| all | {sums[0, 1]} | " + " | ".join(map(share, sums)) + " |"


def wrong(
    subject: Measured, results: tuple[np.ndarray, ...], wanted: Wanted, arrays: Arrays, kind: Kind
) -> tuple[int, int]:
    """How many numbers are wrong, and of how many."""
    found = faults(results, wanted, subject.truth, arrays, kind, never_negative=subject.never_negative, least=1.0)
    return len(found), sum(1 for _ in numbers(results, wanted))


def share(count: np.ndarray) -> str:
    bad, of = count
    return "" if of == 0 else f"{bad}" if bad == 0 else f"{bad} ({100 * bad / of:.2g} %)"


def named(subject: Measured) -> str:
    options = ", ".join(f"{name}={value}" for name, value in subject.options.items())
    soft = subject.name == "cross_entropy" and subject.differentiable == (0, 1)
    return f"`{subject.name}`" + (f" {options}" if options else "") + (" probabilities" if soft else "")


def where(peers: list[str]) -> str:
    """What all this was measured on."""
    device = jax.devices()[0]
    libraries = ["jax", "jaxlib", *peers]
    versions = ", ".join(f"{name} {importlib.metadata.version(name)}" for name in libraries)
    return f"Measured on {device.platform} ({platform.machine()}), {versions}."


def written(page: str, name: str, text: str) -> str:
    """The page with what stands between two comments replaced."""
    pattern = rf"(<!-- {name} -->\n).*?(<!-- end -->)"
    assert re.search(pattern, page, re.DOTALL), f"{PAGE} has no `<!-- {name} -->`"
    return re.sub(pattern, lambda found: f"{found[1]}\n{text}\n\n{found[2]}", page, flags=re.DOTALL)


def more(inputs: Inputs, times: float) -> Inputs:
    (number,) = inputs.shape
    return replace(inputs, shape=(int(number * times),))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="few numbers, printed and not written")
    quick = parser.parse_args().quick
    peers = [] if quick else [name for name in PEERS if importlib.util.find_spec(name)]
    subjects = [replace(each, inputs=more(each.inputs, 1 / 20 if quick else 4)) for each in SUBJECTS]
    tables = {
        "platform": where(peers),
        "ordinary": "\n".join(ordinary(subjects)),
        "adversarial": "\n".join(adversarial(subjects, peers, 20 if quick else None)),
    }
    if quick:
        print("\n\n".join(tables.values()))
        return
    page = PAGE.read_text()
    for name, text in tables.items():
        page = written(page, name, text)
    PAGE.write_text(page)


if __name__ == "__main__":
    main()
