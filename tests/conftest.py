"""Every test runs with float64 allowed, on eight CPU devices, and with implicit promotion of dtypes and ranks refused.

jaxtyping and beartype check the shapes and types of every call within jaxloss.
"""

import os
import sys

os.environ["XLA_FLAGS"] = os.environ.get("XLA_FLAGS", "") + " --xla_force_host_platform_device_count=8"
os.environ.setdefault("JAX_PLATFORMS", "cpu")

import jax
import jaxtyping
import pytest

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "support"))  # for `import cases`, and for the import hook
jaxtyping.install_import_hook("jaxloss", "typecheck.checked")


jax.config.update("jax_enable_x64", True)
jax.config.update("jax_numpy_dtype_promotion", "strict")
jax.config.update("jax_numpy_rank_promotion", "raise")


@pytest.fixture
def untyped():
    """Without jaxtyping's checks: what a user's mistake meets in production."""
    jaxtyping.config.update("jaxtyping_disable", True)
    yield
    jaxtyping.config.update("jaxtyping_disable", False)
