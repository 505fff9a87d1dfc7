"""Every test runs with float64 allowed, on eight CPU devices, and with implicit promotion of dtypes and ranks refused.

jaxtyping and beartype check the shapes and types of every call within jaxloss. XLA compiles quickly instead of well.
Tests of digits, of memory and of programs ask for the usual compilation, by `compiled.jit`.
"""

import os

from quick import FLAGS

os.environ["XLA_FLAGS"] = " ".join([os.environ.get("XLA_FLAGS", ""), *FLAGS])
os.environ.setdefault("JAX_PLATFORMS", "cpu")

import jax
import jaxtyping
import pytest

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


COMPILED: list[str] = []


def _compiled(event: str, _: float, **__: object) -> None:
    if event == "/jax/core/compile/backend_compile_duration":
        COMPILED.append(event)


jax.monitoring.register_event_duration_secs_listener(_compiled)


@pytest.fixture
def programs() -> list[str]:
    """An entry for each program that the test has compiled."""
    COMPILED.clear()
    return COMPILED


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Tests of one loss run in one process, so that they share its programs."""
    for item in items:
        values = item.callspec.params.values() if hasattr(item, "callspec") else ()
        groups = [group for value in values if isinstance(group := getattr(value, "group", None), str) and group]
        if groups:
            item.add_marker(pytest.mark.xdist_group(groups[0]))
