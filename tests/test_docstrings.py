"""Every docstring's example runs and prints what it says, with JAX as it is when installed and warnings as errors."""

import subprocess
import sys

import pytest

import jaxloss

RUN = """
import doctest, importlib, sys
import jax, jax.numpy as jnp, jaxloss

module = importlib.import_module(sys.argv[1])
failed, tried = doctest.testmod(module, extraglobs={"jax": jax, "jnp": jnp, "jaxloss": jaxloss})
sys.exit(failed > 0 or tried == 0)
"""
MODULES = sorted({getattr(jaxloss, name).__module__ for name in jaxloss.__all__} - {"jaxloss._pytree"})


@pytest.mark.parametrize("module", MODULES)
def test_docstring_examples_run(module: str) -> None:
    done = subprocess.run([sys.executable, "-W", "error", "-c", RUN, module], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
