"""Which of a test's variants `pytest` tries, and which only `pytest -m ''` does."""

from collections.abc import Callable, Iterable
from typing import Any

import pytest


def variants(values: Iterable[Any], usual: Callable[..., bool]) -> list[Any]:
    """Parameters of a test; those that are not usual are left to an exhaustive run."""
    rows = [value if type(value) is tuple else (value,) for value in values]
    return [pytest.param(*row, marks=[] if usual(*row) else [pytest.mark.exhaustive]) for row in rows]
