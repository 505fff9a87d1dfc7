"""The command line: measure suites, write their figures, build the page from them."""

import argparse
import multiprocessing
import sys
from pathlib import Path

import benchmarks
from benchmarks.run import suite

ROOT = Path(__file__).parent.parent
SUITES = (
    "elementwise",
    "cross_entropy",
    "linear_cross_entropy",
    "tokens",
    "ctc",
    "transducer",
    "embedding",
    "contrastive",
    "ranking",
    "distillation",
    "segmentation",
    "compile_time",
    "growth",
    "sharded",
)


def main() -> None:
    if sys.argv[1:2] == ["compiled"]:  # programs for devices that need not be there
        from benchmarks import compiled

        compiled.main(sys.argv[2:])
        return
    arguments = _arguments()
    if arguments.page:
        from benchmarks import compiled_page, page

        for each in (page, compiled_page):
            each.build(ROOT / "benchmarks" / "results", ROOT / "docs")
        return
    codes = []
    for name in arguments.suites:  # each in a process of its own: nothing that one leaves behind slows the next
        process = multiprocessing.get_context("spawn").Process(target=suite, args=(name, arguments))
        process.start()
        process.join()
        codes.append(process.exitcode)
    sys.exit(max(map(abs, codes)))


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks",
        description=benchmarks.__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "suites", nargs="*", metavar="SUITE", help=", ".join(SUITES) + "; or compiled, which has options of its own"
    )
    parser.add_argument("--quick", action="store_true", help="small arrays and few calls, to see that it runs")
    parser.add_argument(
        "--only",
        action="append",
        default=[],
        metavar="TEXT",
        help='a part of "loss; size; dtype; mode"; may be repeated',
    )
    parser.add_argument(
        "--missing", action="store_true", help="what --json lacks, or has from when others kept the machine busy"
    )
    parser.add_argument("--peers", metavar="NAME,NAME", help="these peers only")
    parser.add_argument("--json", type=Path, metavar="DIR", help="put the figures into the files of this directory")
    parser.add_argument("--lock", type=Path, metavar="FILE", help="lock this file, exclusively while the clock runs")
    parser.add_argument(
        "--page", action="store_true", help="build docs/benchmarks.md and docs/compiled.md from benchmarks/results"
    )
    arguments = parser.parse_args()
    if unknown := set(arguments.suites) - set(SUITES):
        parser.error(f"no suite is named {', '.join(sorted(unknown))}; there are {', '.join(SUITES)}")
    arguments.suites = arguments.suites or SUITES
    return arguments


if __name__ == "__main__":
    main()
