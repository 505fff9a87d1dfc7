"""The Python of each page of the documentation runs, from top to bottom, and prints what its comments say.

A page is one program, run by an interpreter of its own: with JAX's default settings, and with warnings as errors.
"""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
BLOCK = re.compile(r"^```python\n(.*?)^```$", re.MULTILINE | re.DOTALL)
PAGES = [page for page in sorted([ROOT / "README.md", *ROOT.glob("docs/**/*.md")]) if BLOCK.search(page.read_text())]


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


def finished(page: Path) -> subprocess.CompletedProcess[str]:
    environment = {name: value for name, value in os.environ.items() if name != "XLA_FLAGS"}  # conftest's devices
    command = [sys.executable, "-W", "error", __file__, str(page)]
    return subprocess.run(
        command, cwd=ROOT, env=environment | {"PYTHONPATH": str(ROOT)}, capture_output=True, text=True
    )


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_page_runs_and_prints_what_it_says(page: Path) -> None:
    process = finished(page)
    assert process.returncode == 0, process.stderr


@pytest.mark.parametrize(
    ("code", "error"),
    [
        ("print(1 + 1)  # 2, which is 1 + 1", ""),
        ("print(1 + 1)  # 3", "page.md:2 prints '2', but its comment says '3'"),
        ("import warnings\nwarnings.warn('old')", "UserWarning: old"),
    ],
)
def test_a_page_that_lies_fails(tmp_path: Path, code: str, error: str) -> None:
    page = tmp_path / "page.md"
    page.write_text(f"```python\n{code}\n```\n")
    process = finished(page)
    assert (process.returncode == 0) == (not error)
    assert error in process.stderr


if __name__ == "__main__":
    run(Path(sys.argv[1]))
