"""The pictures of the gallery: every loss and its gradient, drawn by calling the loss and `jax.grad`.

    python docs/pictures/make.py            # write them: <name>-light.svg and <name>-dark.svg
    python docs/pictures/make.py --check    # change nothing, and fail if one of them is not what would be written

It needs `pip install -e ".[docs]"`. The folder `losses` has a file for each family, whose `PICTURES` say what to draw.
How the pictures look is in svg.py.
"""

import argparse
import importlib
import re
import sys
from collections.abc import Iterator
from pathlib import Path

from kinds import Picture
from svg import THEMES, document

HERE = Path(__file__).parent


def pictures() -> dict[str, Picture]:
    """The pictures of all families, by name."""
    found: dict[str, Picture] = {}
    for path in sorted(HERE.glob("losses/*.py")):
        found |= importlib.import_module(f"losses.{path.stem}").PICTURES
    return found


def drawings() -> Iterator[tuple[Path, str]]:
    """Every picture: its file and what is in it."""
    for name, picture in pictures().items():
        drawn, height = picture.draw()
        title = f"{name.removeprefix('choosing_')}: the loss and its gradient"
        for theme in THEMES:
            yield HERE / f"{name}-{theme}.svg", document(title, drawn, height, theme)


def same(drawn: str, stored: str) -> bool:
    """Whether two pictures differ by no more than 3 in the last digits of their numbers, as with another JAX."""
    number = re.compile(r"-?\d+\.(\d+)")
    if number.sub("", drawn) != number.sub("", stored):
        return False
    pairs = zip(number.finditer(drawn), number.finditer(stored), strict=True)
    return all(abs(float(new[0]) - float(old[0])) <= 3.01 * 10.0 ** -len(new[1]) for new, old in pairs)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--check", action="store_true", help="write nothing; fail if a picture is not current")
    check = parser.parse_args().check
    made = dict(drawings())
    if check:
        stale = [path.name for path, text in made.items() if not path.exists() or not same(text, path.read_text())]
        there = [path for theme in THEMES for path in sorted(HERE.glob(f"*-{theme}.svg"))]
        left_over = [path.name for path in there if path not in made]
        if stale or left_over:
            sys.exit(f"Run `python docs/pictures/make.py`, not current: {stale}. Delete, not made now: {left_over}.")
        return
    for path, text in made.items():
        path.write_text(text)


if __name__ == "__main__":
    main()
