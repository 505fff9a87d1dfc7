"""Every docstring's example runs and prints what it says, with JAX as it is when installed and warnings as errors."""

import json
import subprocess
import sys
from functools import cache
from types import FunctionType

import pytest

import jaxloss
from jaxloss.flax import AdaptiveLogSoftmaxWithLoss

# All in one interpreter, which knows nothing of the tests' settings: examples and failures of each public name.
RUN = """
import contextlib, doctest, io, json, sys
import jax, jax.numpy as jnp, jaxloss
from jaxloss.flax import AdaptiveLogSoftmaxWithLoss

names = {**vars(jaxloss), "AdaptiveLogSoftmaxWithLoss": AdaptiveLogSoftmaxWithLoss, "jax": jax, "jnp": jnp}
names["jaxloss"] = jaxloss
found = {}
for name in [*jaxloss.__all__, "AdaptiveLogSoftmaxWithLoss"]:
    report, runner = io.StringIO(), doctest.DocTestRunner()
    with contextlib.redirect_stdout(report):
        for test in doctest.DocTestFinder().find(names[name], name, module=False, globs=names):
            runner.run(test)
    found[name] = (runner.tries, report.getvalue() if runner.failures else "")
json.dump(found, sys.stdout)
"""
NAMES = [name for name in jaxloss.__all__ if isinstance(getattr(jaxloss, name), type | FunctionType)]


@cache
def results() -> dict[str, tuple[int, str]]:
    done = subprocess.run([sys.executable, "-W", "error", "-c", RUN], capture_output=True, text=True, check=True)
    return json.loads(done.stdout)


@pytest.mark.xdist_group("docstrings")
@pytest.mark.parametrize("name", [*NAMES, "AdaptiveLogSoftmaxWithLoss"])
def test_docstring_examples_run(name: str) -> None:
    tried, failures = results()[name]
    assert not failures
    text = getattr(jaxloss, name, AdaptiveLogSoftmaxWithLoss).__doc__
    assert tried or "Examples:" not in text, f"{name} has Examples, but none of them is run"
