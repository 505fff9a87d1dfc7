"""Two rules that hold the house up: imports go down the storeys, and one folder alone knows about platforms."""

import ast
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parent.parent / "jaxloss"
FILES = sorted(PACKAGE.rglob("*.py"))
STOREYS = ("_core", "_ops", "_losses")  # from the lowest
PLATFORM_FILES = ("xla*.py", "pallas_*.py", "mosaic_*.py", "platform.py")
PLATFORM_WORDS = ("default_backend", "optimization_barrier", "platform_dependent")
# Places that still ask, outside the files that may.
EXCEPTIONS: dict[str, set[str]] = {}


MODULES = {
    ".".join(path.relative_to(PACKAGE.parent).with_suffix("").parts).removesuffix(".__init__"): path for path in FILES
}


def name(path: Path) -> str:
    return path.relative_to(PACKAGE).as_posix()


def storey(path: str) -> int:
    """The storey of a file or module; what lies beside the storeys, such as `flax.py`, is above them."""
    top = path.removeprefix("jaxloss.").replace("/", ".").partition(".")[0]
    return STOREYS.index(top) if top in STOREYS else len(STOREYS)


def imported(path: Path) -> list[str]:
    """The modules of jaxloss that a file imports."""
    found: list[str] = []
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and node.module and node.module.startswith("jaxloss"):
            submodules = [f"{node.module}.{alias.name}" for alias in node.names]
            found += [submodule if submodule in MODULES else node.module for submodule in submodules]
    return found


@pytest.mark.parametrize("path", FILES, ids=name)
def test_imports_go_down(path: Path) -> None:
    above = [module for module in imported(path) if storey(module) > storey(name(path))]
    assert not above, f"{name(path)} imports {above}, which stand above it"
    if path.name in ("problem.py", "formula.py"):
        platforms = [
            module for module in imported(path) if module.rpartition(".")[2].startswith(("xla", "pallas", "mosaic"))
        ]
        assert not platforms, f"{name(path)} imports {platforms}, but every platform imports it"


def test_imports_have_no_circle() -> None:
    left = {module: set(imported(path)) & MODULES.keys() for module, path in MODULES.items()}
    while free := [module for module, others in left.items() if not others & left.keys()]:
        for module in free:
            del left[module]
    assert not left, f"these import each other in a circle: {sorted(left)}"


@pytest.mark.parametrize("path", FILES, ids=name)
def test_only_the_files_of_a_platform_speak_of_it(path: Path) -> None:
    if name(path).startswith("_ops/") and any(path.match(pattern) for pattern in PLATFORM_FILES):
        return
    names = {getattr(node, "attr", getattr(node, "id", None)) for node in ast.walk(ast.parse(path.read_text()))}
    assert names & set(PLATFORM_WORDS) == EXCEPTIONS.get(name(path), set())
