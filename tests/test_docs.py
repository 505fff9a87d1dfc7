"""The Python of each page of the documentation runs, from top to bottom, and prints what its comments say.

A page is one program, run by an interpreter of its own: with JAX's default settings, and with warnings as errors.
"""

import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import optax
import pytest
from variants import variants

import jaxloss

ROOT = Path(__file__).parent.parent
BLOCK = re.compile(r"^```python\n(.*?)^```$", re.MULTILINE | re.DOTALL)
PAGES = [
    page.relative_to(ROOT).as_posix()
    for page in sorted([ROOT / "README.md", *ROOT.glob("docs/**/*.md")])
    if BLOCK.search(page.read_text())
]


def run(page: Path) -> None:
    """Run the page's blocks in one namespace."""
    text = page.read_text()
    lines = text.splitlines()

    def printed(*values: object) -> None:
        """Stands for `print`: its output must be the comment that follows the call, up to ", which is ..."."""
        number = sys._getframe(1).f_lineno
        comment = lines[number - 1].partition("  # ")[2]
        wanted, output = comment.split(", which ")[0], " ".join(map(str, values))
        if comment and output != wanted:
            raise AssertionError(f"{page}:{number} prints {output!r}, but its comment says {wanted!r}")

    names = {"__name__": "__main__", "print": printed}
    for block in BLOCK.finditer(text):
        above = text.count("\n", 0, block.start(1))  # lines of the page, for the numbers in tracebacks and above
        exec(compile("\n" * above + block[1], page, "exec"), names)
    for theirs, ours in translations(text):
        means = [
            np.mean(eval(call, names | vars(library))) for call, library in ((theirs, optax.losses), (ours, jaxloss))
        ]
        np.testing.assert_allclose(*means, rtol=1e-5, err_msg=f"{page}: {theirs} is not {ours}")


def translations(text: str) -> list[list[str]]:
    """The rows of a page's tables that spell the same mean in optax and here; all others are words."""
    tables = re.findall(r"^\| optax \| jaxloss \|\n\|---\|---\|\n((?:\|.*\n)+)", text, re.MULTILINE)
    cells = [re.fullmatch(r"\| `([^`]+)` \| `([^`]+)` \|", row) for table in tables for row in table.splitlines()]
    return [list(row.groups()) for row in cells if row]


def finished(page: Path) -> subprocess.CompletedProcess[str]:
    environment = {name: value for name, value in os.environ.items() if name != "XLA_FLAGS"}  # conftest's devices
    command = [sys.executable, "-W", "error", __file__, str(page)]
    return subprocess.run(
        command, cwd=ROOT, env=environment | {"PYTHONPATH": str(ROOT)}, capture_output=True, text=True
    )


@pytest.mark.parametrize("name", variants(PAGES, lambda name: name in ("README.md", "docs/quickstart.md")))
def test_page_runs_and_prints_what_it_says(name: str) -> None:
    process = finished(ROOT / name)
    assert process.returncode == 0, process.stderr


@pytest.mark.parametrize(
    ("code", "error"),
    [
        ("print(1 + 1)  # 2, which is 1 + 1", ""),
        ("print(1 + 1)  # 3", "page.md:3 prints '2', but its comment says '3'"),
        ("import warnings\nwarnings.warn('old')", "UserWarning: old"),
        (
            "one = np.ones(1)\n```\n| optax | jaxloss |\n|---|---|\n| `l2_loss(one)` | `one` |\n```python",
            "l2_loss(one) is not one",
        ),
    ],
)
def test_a_page_that_lies_fails(tmp_path: Path, code: str, error: str) -> None:
    page = tmp_path / "page.md"
    page.write_text(f"```python\nimport numpy as np\n{code}\n```\n")
    process = finished(page)
    assert (process.returncode == 0) == (not error)
    assert error in process.stderr


def test_every_loss_of_optax_is_on_its_page() -> None:
    text = (ROOT / "docs/from_optax.md").read_text()
    public = [name for name, thing in vars(optax.losses).items() if callable(thing) and not name.startswith("_")]
    left = [name for name in public if not re.search(rf"`{name}[`(]", text)]
    assert public
    assert not left, f"say on docs/from_optax.md what stands for {left}"


def test_gallery_shows_every_loss() -> None:
    text = (ROOT / "docs/gallery.md").read_text()
    objects = [thing for thing in vars(jaxloss).values() if isinstance(thing, type) and issubclass(thing, jaxloss.Loss)]
    losses = [loss.fn.__name__ for loss in objects if loss is not jaxloss.Loss]
    left = [name for name in losses if f"(pictures/{name}-light.svg)" not in text]
    assert losses
    assert not left, f"add to docs/pictures/make.py and docs/gallery.md: {left}"


if __name__ == "__main__":
    run(Path(sys.argv[1]))
