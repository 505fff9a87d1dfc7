"""The Python of each page of the documentation runs, from top to bottom, and prints what its comments say.

A page is one program: with names of its own, with JAX's default settings, and with warnings as errors. Pages share an
interpreter, except those that change JAX's settings.
"""

import os
import re
import subprocess
import sys
import traceback
from pathlib import Path
from types import ModuleType

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from variants import variants

import jaxloss

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT / "docs"))
families = pytest.importorskip("families")  # a source distribution has no docs

BLOCK = re.compile(r"^```python\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def interpreters() -> dict[str, list[Path]]:
    """Pages by the interpreter that runs them."""
    found: dict[str, list[Path]] = {}
    for page in sorted([ROOT / "README.md", *ROOT.glob("docs/**/*.md")]):
        name, text = page.relative_to(ROOT).as_posix(), page.read_text()
        if name in ("README.md", "docs/quickstart.md"):
            found.setdefault("first pages", []).append(page)
        elif "jax.config.update(" in text:
            found[name] = [page]
        elif BLOCK.search(text):
            found.setdefault("losses" if page.parent.name == "losses" else "guide", []).append(page)
    return found


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
        above = text.count("\n", 0, block.start(1))  # lines of the page, for the numbers in tracebacks and messages
        exec(compile("\n" * above + block[1], page, "exec"), names)
    for theirs, ours in translations(text):
        wrong = f"{page}: {theirs} is not {ours}"
        predicted = next(name for name in re.findall(r"\w+", theirs) if is_floating(names.get(name)))
        (value, slope), (wanted, wanted_slope) = (
            value_and_slope(call, predicted, names | functions(library))
            for call, library in ((theirs, optax.losses), (ours, jaxloss))
        )
        np.testing.assert_allclose(value, wanted, rtol=1e-5, err_msg=wrong)
        np.testing.assert_allclose(slope, wanted_slope, rtol=1e-4, atol=1e-6, err_msg=wrong)


def functions(library: ModuleType) -> dict[str, object]:
    """The names of a library but its modules, which would hide a page's array of that name."""
    return {name: thing for name, thing in vars(library).items() if not isinstance(thing, ModuleType)}


def is_floating(value: object) -> bool:
    return jnp.issubdtype(getattr(value, "dtype", int), jnp.floating)


def value_and_slope(call: str, predicted: str, names: dict[str, object]) -> tuple[jax.Array, jax.Array]:
    """The mean of a call, and its gradient in the array of this name."""

    def mean(array: object) -> jax.Array:
        return jnp.mean(eval(call, names | {predicted: array}))

    return jax.value_and_grad(mean)(names[predicted])


def translations(text: str) -> list[list[str]]:
    """The rows of a page's tables that spell the same mean in optax and here; all others are words."""
    tables = re.findall(r"^\| optax \| jaxloss \|\n\|---\|---\|\n((?:\|.*\n)+)", text, re.MULTILINE)
    cells = [re.fullmatch(r"\| `([^`]+)` \| `([^`]+)` \|", row) for table in tables for row in table.splitlines()]
    return [list(row.groups()) for row in cells if row]


def finished(*pages: Path) -> subprocess.CompletedProcess[str]:
    environment = {name: value for name, value in os.environ.items() if name != "XLA_FLAGS"}  # conftest's devices
    command = [sys.executable, "-W", "error", __file__, *map(str, pages)]
    environment["PYTHONPATH"] = os.pathsep.join([str(ROOT), str(ROOT / "tests/support")])
    return subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)


@pytest.mark.parametrize("name", variants(interpreters(), lambda name: name == "first pages"))
def test_pages_run_and_print_what_they_say(name: str) -> None:
    process = finished(*interpreters()[name])
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


def test_every_loss_is_drawn_on_its_page() -> None:
    objects = [thing for thing in vars(jaxloss).values() if isinstance(thing, type) and issubclass(thing, jaxloss.Loss)]
    losses = [f"jaxloss.{loss.fn.__name__}" for loss in objects if hasattr(loss, "fn")]
    pictures = {drawn.name: drawn.path for family in families.families() for drawn in family.pictures}
    left = [name for name in losses if name not in pictures]
    assert losses
    assert not left, f"after the `:::` line in docs/losses, add an empty line, a picture and a sentence: {left}"
    files = [path for path in pictures.values() if not (ROOT / "docs" / path).is_file()]
    what_to_do = "add to PICTURES in docs/pictures/losses/<family>.py and run `python docs/pictures/make.py`"
    assert not files, f"{what_to_do}: {files}"


def test_readme_lists_every_loss() -> None:
    text = (ROOT / "README.md").read_text()
    assert families.listed(text) == text, "run `python docs/families.py`"


def test_a_family_is_read_from_its_page() -> None:
    page = """# Angles

| function | option object | element |
|---|---|---|
| [`acute`][jaxloss.acute] | `Acute` | one angle |
| [`sine`][jaxloss.sine] | | not a loss |

::: jaxloss.acute

![A wedge](../pictures/acute-light.svg)

It is 0 below 90°. See [sines](../sines.md),
and so on.

::: jaxloss.sine
"""
    read = families.family("losses/angles.md", page)
    assert read[:3] == ("Angles", "losses/angles.md", ["jaxloss.acute", "jaxloss.sine"])
    caption = "It is 0 below 90°. See [sines](../sines.md),\nand so on.\n"
    assert read.pictures == [("jaxloss.acute", "A wedge", "pictures/acute-light.svg", caption)]


def test_every_failing_page_is_reported(tmp_path: Path) -> None:
    first, second, third = (tmp_path / f"{name}.md" for name in ("first", "second", "third"))
    first.write_text("```python\nshared = 1 / 0\n```\n")
    second.write_text("```python\nshared = 2\n```\n")
    third.write_text("```python\nprint(shared)  # 2\n```\n")
    process = finished(first, second, third)
    assert process.returncode == 1
    assert "ZeroDivisionError" in process.stderr
    assert "NameError: name 'shared' is not defined" in process.stderr
    assert f"{first}: failed" in process.stderr
    assert f"{second}: failed" not in process.stderr
    assert f"{third}: failed" in process.stderr


if __name__ == "__main__":
    failed = False
    for argument in sys.argv[1:]:
        try:
            run(Path(argument))
        except Exception:
            failed = True
            sys.stderr.write(f"{argument}: failed\n")
            traceback.print_exc()
    sys.exit(failed)
