"""One suite, measured from its first case to its last."""

import argparse
import contextlib
import importlib
import os
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from benchmarks.case import Case

    Wanted = tuple[Case, str, str]

PAUSE, BATCH = 0.2, 25.0  # seconds


def suite(name: str, arguments: argparse.Namespace) -> None:
    """Measure one suite; runs in its own process, before which JAX has not been imported."""
    if name == "sharded":  # for processors: on accelerators the flag means nothing
        os.environ["XLA_FLAGS"] = os.environ.get("XLA_FLAGS", "") + " --xla_force_host_platform_device_count=8"
    sys.argv[1:] = []  # which tokamax would read as its own
    os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")  # other frameworks need a GPU's memory too

    from benchmarks import peers, results

    cases = importlib.import_module(f"benchmarks.suites.{name}").cases(arguments.quick)
    machine = peers.machine()
    file = arguments.json and arguments.json / f"{name}-{machine['platform']}.json"
    old = results.read(file) if file and arguments.missing else {}
    groups = _groups(cases, arguments, results.quiet(old, machine))
    print(f"\n{name}: {machine}")
    for peer in dict.fromkeys(peer for case, _, _ in groups for peer in case.peers):
        if reason := peers.why_not(peer):
            print(f"without {peer}: it {reason}")
    print(results.heading())
    for rows in _measured(groups, arguments):
        if file:
            results.write(file, results.merged(results.read(file), machine, rows))


def _groups(cases: list["Case"], arguments: argparse.Namespace, quiet: set[tuple[str, ...]]) -> list["Wanted"]:
    """What is to be measured: cases, each in its dtypes and modes."""
    groups = [(case, dtype, mode) for case in cases for dtype in case.dtypes for mode in case.modes]
    if arguments.quick:  # every case once, every dtype and mode in some case
        groups = [(c, c.dtypes[i % len(c.dtypes)], c.modes[i % len(c.modes)]) for i, c in enumerate(cases)]
    if arguments.only:
        groups = [g for g in groups if any(text in f"{g[0].name}; {g[1]}; {g[2]}" for text in arguments.only)]
    return [g for g in groups if (g[0].loss, g[0].size, g[1], g[2]) not in quiet]


def _measured(groups: list["Wanted"], arguments: argparse.Namespace) -> Iterator[list[dict[str, Any]]]:
    """The rows of each group, which are shown too. Short groups share a turn with the machine to themselves."""
    from tqdm import tqdm

    from benchmarks import measure, results

    lock = Lock(arguments.lock)
    effort = measure.Effort(peers=tuple(arguments.peers.split(",")) if arguments.peers else None, alone=lock.alone)
    if arguments.quick:  # PyTorch's compiler takes longer than all the rest
        effort = effort._replace(rounds=1, seconds=0.0, tries=1, without=("torch.compile",))
    waiting: list[measure.Group] = []
    with tqdm(groups, unit="group", leave=False, dynamic_ncols=True, disable=None) as bar:
        for i, (case, dtype, mode) in enumerate(bar):
            bar.set_description(f"{case.name}; {dtype}; {mode}")
            waiting.append(measure.prepared(case, dtype, mode, effort))
            if i < len(groups) - 1 and sum(group.seconds for group in waiting) < BATCH:
                continue
            with lock.alone() if len(waiting) > 1 else contextlib.nullcontext():
                found = [measure.measured(group, effort) for group in waiting]
            waiting.clear()
            for rows in found:
                bar.write("\n".join(["; ".join(results.group(rows[0])), *map(results.line, rows)]))
                yield rows
    lock.release()


class Lock:
    """A lock on a file, shared while this process prepares and its own while it measures; None is no lock."""

    def __init__(self, path: Path | None) -> None:
        self.file = path and path.open("w")
        self.exclusive = False
        self.shared()

    def shared(self) -> None:
        if self.file:
            import fcntl

            fcntl.flock(self.file, fcntl.LOCK_SH)

    def release(self) -> None:
        if self.file:
            import fcntl

            fcntl.flock(self.file, fcntl.LOCK_UN)
            time.sleep(PAUSE)  # for those who wait: a lock turned from one kind into the other lets nobody in

    @contextlib.contextmanager
    def alone(self) -> Iterator[None]:
        """Within another `alone` there is nothing to do."""
        if self.exclusive or not self.file:
            yield
            return
        import fcntl

        fcntl.flock(self.file, fcntl.LOCK_EX)
        self.exclusive = True
        yield
        self.exclusive = False
        self.release()
        self.shared()
