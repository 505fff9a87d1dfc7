"""Time, memory and error of every implementation of a case, by one method.

All of them run in one process on the same arrays, after each has been seen to agree with float64. Those of JAX take
turns, then those of PyTorch do: its threads go on spinning for a while after a call, which slows what follows on a
processor. A figure is a median. What disagrees or fails is a row that says so.
"""

import gc
import os
import random
import statistics
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from benchmarks import frameworks
from benchmarks.case import Arrays, Case, Function
from benchmarks.peers import why_not

Row = dict[str, Any]

# The error past which an implementation computes something else. That of a sum in bfloat16 is large, and is shown.
TOLERANCE = {"float32": 2e-3, "bfloat16": 0.25}
OURS, SHORT = "jaxloss", 0.2
MOST_ROUNDS, LONGEST_TURN = 101, 30.0
QUIET = 0.05


class Effort(NamedTuple):
    """How long to measure, and what to leave out."""

    rounds: int = 7  # at least, and
    seconds: float = 1.0  # at least, until MOST_ROUNDS
    peers: tuple[str, ...] | None = None  # these only
    without: tuple[str, ...] = ()
    tries: int = 2  # at most, for one in which others leave the machine alone
    alone: Callable[[], AbstractContextManager[object]] = nullcontext  # entered while the clock runs


class Group(NamedTuple):
    """A case in one dtype and mode, its implementations ready to be measured together."""

    rows: dict[str, Row]
    ready: dict[str, frameworks.Ready]
    seconds: float  # that measuring it is expected to take


def prepared(case: Case, dtype: str, mode: str, effort: Effort) -> Group:
    """Every implementation compiled, its error and its memory found; ours first and the physical limit last."""
    arrays = tuple(_rounded(a, dtype) for a in case.arrays(np.random.default_rng(0)))
    inputs, reference = (frameworks.Inputs(case, arrays, dtype), _reference(case, arrays, mode))
    of_case = {"loss": case.loss, "size": case.size, "dtype": dtype, "mode": mode}
    facts = {key: fact for key, fact in (("source", case.source), ("grows", case.grows)) if fact}
    group = Group({}, {}, 0.0)
    for name, function in _implementations(case, mode, effort).items():
        group.rows[name] = row = of_case | {"name": name} | facts
        try:
            ready = frameworks.prepare(name, function, inputs, mode)
            row |= _examined(ready, reference, case.tolerance.get(dtype, TOLERANCE[dtype]))
        except Exception as error:  # a peer may fail in any way, and that is a result
            row["failed"] = f"{type(error).__name__}: {' '.join(str(error).split())[:120]}"
        if "failed" not in row:
            start = time.perf_counter()
            ready.run()
            group = group._replace(seconds=group.seconds + time.perf_counter() - start)
            group.ready[name] = ready
        elif name == OURS:
            raise RuntimeError(f"{case.name}; {dtype}; {mode}: jaxloss {row['failed']}")
    rounds = min(max(effort.rounds, effort.seconds / group.seconds), MOST_ROUNDS)
    return group._replace(seconds=2 * rounds * group.seconds)


def measured(group: Group, effort: Effort) -> list[Row]:
    """The rows of the group with their times."""
    ours: list[float] = []
    for of_torch in (False, True):
        runs = {name: each.run for name, each in group.ready.items() if frameworks.is_torch(name) == of_torch}
        times = timed(runs, effort) if runs else Times({})
        ours = times.taken.get(OURS, ours)
        for name, taken in times.taken.items():
            group.rows[name].update(_summary(taken, ours) | {"others": round(times.others, 2)})
    return list(group.rows.values())


def _implementations(case: Case, mode: str, effort: Effort) -> dict[str, Function]:
    chosen = {OURS: case.ours}
    for name, function in case.peers.items():
        for each in (name, "torch.compile") if name == "torch" else (name,):
            wanted = (effort.peers is None or each in effort.peers) and each not in effort.without
            if wanted and not why_not(each) and not (mode == "compile" and frameworks.is_torch(each)):
                chosen[each] = function
    if limit := case.limit(mode):
        chosen[f"limit: {limit[0]}"] = limit[1]
    return chosen


def _rounded(array: np.ndarray, dtype: str) -> np.ndarray:
    """Floats that the dtype has, so that every implementation and the reference get the same numbers."""
    return array if array.dtype.kind != "f" else array.astype(jnp.dtype(dtype)).astype(np.float32)


def _reference(case: Case, arrays: Arrays, mode: str) -> list[np.ndarray] | None:
    """Value and gradient computed in float64; kept in float32, which rounds them once."""
    if mode == "compile":
        return None
    function = case.reference or case.peers["jax.numpy"]
    with jax.enable_x64(True):
        wide = [jnp.asarray(a, jnp.float64 if a.dtype.kind == "f" else None) for a in arrays]
        step = function if mode == "value" else jax.value_and_grad(function, case.gradient_of)
        return [np.asarray(a, np.float32) for a in jax.tree.leaves(jax.jit(step)(*wide))]


def _examined(ready: frameworks.Ready, reference: list[np.ndarray] | None, tolerance: float) -> Row:
    """Error and memory of one implementation."""
    if reference is None or ready.result is None:
        return ready.facts
    value, *gradients = (
        _error(np.asarray(ours, np.float32), exact) for ours, exact in zip(ready.result(), reference, strict=True)
    )
    row: Row = {"error": _digits(value, 2)} | ({"gradient_error": _digits(max(gradients), 2)} if gradients else {})
    largest = max(value, *gradients, 0.0)
    if not largest <= tolerance:  # NaN is an error too
        return row | {"failed": f"is off by {largest:.1e}"}
    return row | ready.facts


def _error(found: np.ndarray, exact: np.ndarray) -> float:
    """The distance relative to the length: one entry on the other side of a kink is not an error of the whole."""
    return float(np.linalg.norm(found - exact)) / (float(np.linalg.norm(exact)) or 1.0)


class Times(NamedTuple):
    """The seconds of every call of each implementation, and how busy others kept the machine meanwhile."""

    taken: dict[str, list[float]]
    others: float = 0.0  # seconds of a processor for every second on the clock


def timed(runs: dict[str, Callable[[], object]], effort: Effort) -> Times:
    """The quietest of a few tries: a thread that waits for a processor makes all the others of its call wait."""
    best = None
    for _ in range(effort.tries):
        tried = _tried(runs, effort)
        best = tried if best is None or tried.others < best.others else best
        if best.others < QUIET:
            break
    return best


def _tried(runs: dict[str, Callable[[], object]], effort: Effort) -> Times:
    """The calls take turns in an order that changes from round to round.

    A short call is made twice and the second counts: it finds the caches as it left them itself.
    """
    names, taken, order = list(runs), {name: [] for name in runs}, random.Random(0)
    done, spent, others, passed = 0, 0.0, 0.0, 0.0

    def enough() -> bool:
        return done >= MOST_ROUNDS or (done >= effort.rounds and spent >= effort.seconds)

    while not enough():
        with effort.alone():
            gc.disable()
            until, start, foreign = (spent + LONGEST_TURN, time.perf_counter(), _foreign())
            while not enough() and spent < until:
                for name in order.sample(names, len(names)):
                    if taken[name] and taken[name][-1] < SHORT:
                        runs[name]()
                    before = time.perf_counter()
                    kept = runs[name]()
                    taken[name].append(time.perf_counter() - before)
                    del kept  # not while the clock runs
                done, spent = done + 1, sum(map(sum, taken.values()))
            others, passed = (others + _foreign() - foreign, passed + time.perf_counter() - start)
            gc.enable()
    return Times(taken, max(others, 0.0) / passed)


def _foreign() -> float:
    """Seconds that the processors have worked for others than this process; 0 where the system does not tell."""
    try:
        fields = Path("/proc/stat").read_text().split(maxsplit=9)
    except OSError:
        return 0.0
    user, nice, system, _, _, interrupts, soft_interrupts, stolen = map(int, fields[1:9])
    ticks = user + nice + system + interrupts + soft_interrupts + stolen
    return ticks / os.sysconf("SC_CLK_TCK") - time.process_time()


def _summary(taken: list[float], ours: list[float]) -> Row:
    low, middle, high = statistics.quantiles(taken, n=4) if len(taken) > 1 else taken * 3
    median = statistics.median(taken)
    return {
        "ms": _digits(median * 1e3),
        "quartiles_ms": [_digits(low * 1e3), _digits(high * 1e3)],
        "ratio": round(statistics.median(ours) / median, 3),  # ours over theirs: below one, ours is faster
        "rounds": len(taken),
    }


def _digits(number: float, count: int = 4) -> float:
    return float(f"{number:.{count}g}")
