"""Norms and cosines of every platform against NumPy, and the tricks of the CPU's programs."""

from functools import partial

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from compiled import compiled, promises_memory, temporaries

from jaxloss._ops.vectors import cosine, distance, xla, xla_cpu
from jaxloss._ops.vectors.formula import Terms

PLATFORMS = {"xla": xla, "xla_cpu": xla_cpu}
every_platform = pytest.mark.parametrize("platform", PLATFORMS.values(), ids=PLATFORMS)
RNG = np.random.default_rng(0)
# In float32 the squares of the first sizes underflow and those of the last overflow.
SIZES = np.array([1e-35, 1e-30, 1e-22, 1e-19, 1e-15, 1e-9, 1e-5, 1.0, 1e5, 1e15, 1e18, 1e19, 1e25, 1e35])
UNITS = RNG.choice([-1, 1], (2, len(SIZES), 7)) * RNG.uniform(0.1, 2, (2, len(SIZES), 7))


@every_platform
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("p", [0.5, 2, 3, -1])
def test_norms_of_every_size(platform, p: float, dtype: str) -> None:
    sizes = SIZES ** (8 if dtype == "float64" else 1)
    vectors = np.asarray(UNITS[0] * sizes[:, None], dtype)
    terms = Terms(jnp.asarray(vectors), jnp.zeros_like(vectors), jnp.zeros((), dtype))
    found = jax.jit(partial(platform.norm, p=p, axis=-1))(terms)[:, 0]
    wanted = np.linalg.norm(vectors / sizes[:, None], p, -1) * sizes
    # Some units in the last place of the powers and the root.
    chex.assert_trees_all_close(np.asarray(found, float), wanted, rtol=1e-6 if dtype == "float32" else 1e-14)


@every_platform
@pytest.mark.parametrize("other_size", [1.0, 1e-35, 1e35])
def test_cosines_of_every_size(platform, other_size: float) -> None:
    first, second = np.float32(UNITS[0] * SIZES[:, None]), np.float32(UNITS[1] * other_size)
    a, b = np.float64(first) / SIZES[:, None], np.float64(second) / other_size
    wanted = np.sum(a * b, -1) / np.linalg.norm(a, axis=-1) / np.linalg.norm(b, axis=-1)
    found = jax.jit(lambda a, b: platform.cosine(a, b, jnp.float32(0), 0.0, -1))(first, second)
    # The rounding of seven products, which cancel.
    chex.assert_trees_all_close(np.asarray(found.value[:, 0], float), wanted, atol=1e-6)
    lengths = np.linalg.norm(b, axis=-1) * other_size
    chex.assert_trees_all_close(np.asarray(found.length_b[:, 0], float), lengths, rtol=1e-6)


@every_platform
def test_norms_of_zeros_infinities_and_nan(platform) -> None:
    vectors = jnp.array([[0.0, 0.0], [np.inf, 1.0], [np.nan, 1.0], [np.inf, np.nan]])
    terms = Terms(vectors, jnp.zeros_like(vectors), jnp.zeros(()))
    for p in (2, 3):
        found = jax.jit(partial(platform.norm, p=p, axis=-1))(terms)[:, 0]
        if p == 2:
            chex.assert_trees_all_equal(found, np.array([0.0, np.inf, np.nan, np.nan]))
        else:
            assert found[0] == 0
            assert np.isnan(found[2:]).all()


@pytest.mark.parametrize("function", ["distance", "cosine"])
def test_second_derivatives_agree_with_the_plain_formulas(function: str) -> None:
    a, b = map(jnp.asarray, RNG.normal(size=(2, 3)))
    zero = jnp.zeros(())

    def ours(a, b):
        return distance(a, b, zero, 2) if function == "distance" else cosine(a, b, zero, 0.0, -1)[0]

    def plain(a, b):
        if function == "distance":
            return jnp.sqrt(jnp.sum((a - b) ** 2))
        return a @ b / jnp.sqrt(a @ a) / jnp.sqrt(b @ b)

    both = [jax.jit(jax.hessian(f, (0, 1)))(a, b) for f in (ours, plain)]
    chex.assert_trees_all_close(*both, rtol=1e-12, atol=1e-13)
    if function == "cosine":  # clamped lengths are constants

        def clamped(a, b, least):
            return cosine(a, b, least, 0.0, -1)[0]

        least = jnp.asarray(100.0)
        both = [jax.jit(jax.hessian(f, (0, 1, 2)))(a, b, least) for f in (clamped, lambda a, b, m: a @ b / m / m)]
        chex.assert_trees_all_close(*both, rtol=1e-12, atol=1e-13)


@promises_memory
def test_cpu_barrier_saves_the_difference() -> None:
    """Without the barrier the compiler merges the two uses of the difference and stores it."""
    vectors = jax.ShapeDtypeStruct((1000, 1000), "float32")

    def memory(platform) -> int:
        def norms(a, b):
            return platform.norm(Terms(a, b, jnp.zeros((), "float32")), 3, -1)

        return temporaries(compiled(norms, vectors, vectors))

    assert memory(xla_cpu) < 1000 * 1000
    assert memory(xla) >= 4 * 1000 * 1000


@pytest.mark.parametrize("function", ["norm", "cosine"])
def test_only_cpus_branch(function: str) -> None:
    """A CPU scales the vectors only if it must; other platforms have no branch, for which a GPU's host would wait."""
    vectors = jnp.ones((4, 3), "float32")
    zero = jnp.zeros((), "float32")
    call = {
        "norm": lambda a, b: distance(a, b, zero, 2),
        "cosine": lambda a, b: cosine(a, b, zero, 0.0, -1),
    }[function]

    def branches(platform: str) -> int:
        exported = jax.export.export(jax.jit(jax.value_and_grad(lambda *x: call(*x).sum())), platforms=[platform])
        text = exported(vectors, vectors).mlir_module()
        return sum(line.count("stablehlo.case") for line in text.splitlines())

    # The choice of the platform leaves two cases with constant indices.
    assert branches("tpu") == branches("cuda") == branches("cpu") - 1


@pytest.mark.parametrize("p", [1.5, 2.0, 3.0])
def test_the_derivatives_of_a_distance_of_0_are_0(p: float) -> None:
    """The second one too, along directions of any size."""
    vector, zero = jnp.ones((1, 3)), jnp.zeros(())
    slope = jax.grad(lambda x: jnp.sum(distance(x, vector, zero, p)))
    for size in (1.0, 1e10):
        found = jax.jvp(slope, (vector,), (jnp.full_like(vector, size),))
        chex.assert_trees_all_equal(found, (jnp.zeros_like(vector),) * 2)
