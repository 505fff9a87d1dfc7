"""Adding a loss is four edits, and these tests name the missing ones. The public interface has its agreed form."""

import ast
import importlib
import inspect
import pkgutil
import re
import subprocess
import sys
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from types import FunctionType, ModuleType

import numpy as np
import pytest
from case import Case
from cases import CASES
from fixtures.make import WITHOUT_CASE, asked
from inputs import ELEMENTS, pair
from law_subjects import subject
from laws import derivatives_equal_finite_differences, masking_equals_dropping
from mistakes import common_mistakes
from parity import Asked, compare, expected
from references import Formula, Torch

import jaxloss
from jaxloss import _losses

ROOT = Path(__file__).parent.parent
FAMILIES = [
    module
    for info in pkgutil.iter_modules(_losses.__path__, "jaxloss._losses.")
    if hasattr(module := importlib.import_module(info.name), "__all__")
]


@dataclass(frozen=True)
class Tree:
    """Everything that the four edits that add a loss change."""

    families: Collection[ModuleType]
    cases: Collection[Case]
    fixtures: Collection[str]
    docs: Mapping[str, str]
    """The text of each page."""
    pictures: Collection[str]
    changelog: str


TREE = Tree(
    FAMILIES,
    CASES,
    {path.stem for path in (ROOT / "tests/fixtures").glob("*.npz")},
    {path.relative_to(ROOT).as_posix(): path.read_text() for path in ROOT.glob("docs/**/*.md")},
    {path.name for path in (ROOT / "docs/pictures").glob("*.svg")},
    (ROOT / "CHANGELOG.md").read_text(),
)


def functions(module: ModuleType) -> list[FunctionType]:
    """The loss functions of a family: the helpers among its public functions take no `reduction`."""
    public = [getattr(module, name) for name in module.__all__]
    losses = [thing for thing in public if not isinstance(thing, type) and "reduction" in parameters(thing)]
    return [loss for loss in losses if not loss.__name__.endswith("_with_stats")]  # the same, with more in its result


def objects(module: ModuleType) -> list[type[jaxloss.Loss]]:
    """The option objects of a family, public or not."""
    things = list(vars(module).values())
    return [thing for thing in things if isinstance(thing, type) and issubclass(thing, jaxloss.Loss) and is_one(thing)]


def is_one(loss: type[jaxloss.Loss]) -> bool:
    return hasattr(loss, "fn")  # neither the base nor a sum


def parameters(function: object) -> Mapping[str, inspect.Parameter]:
    return inspect.signature(function).parameters


LOSSES = [function for module in FAMILIES for function in functions(module)]
every_loss = pytest.mark.parametrize("loss", LOSSES, ids=lambda loss: loss.__name__)


def missing(tree: Tree) -> list[str]:
    """The edits that are left to do, of the four that add a loss: one line each."""
    return [
        line for module in tree.families for line in (*uncoded(module), *untried(module, tree), *untold(module, tree))
    ]


def uncoded(module: ModuleType) -> Iterator[str]:
    """The first edit: the function, its option object and both names in `__all__`."""
    file = module.__name__.replace(".", "/") + ".py"
    for function in functions(module):
        name = function.__name__
        found = [loss for loss in objects(module) if loss.fn is function]
        if not found:
            yield f"{name} has no option object: write `class ...(Loss, fn={name})` in {file}."
        for loss in found:
            if loss.__name__ not in module.__all__:
                yield f"{loss.__name__} is not public: name it in `__all__` of {file}."


def untried(module: ModuleType, tree: Tree) -> Iterator[str]:
    """The second edit: a Case, with its fixture unless a formula is its reference."""
    for loss in objects(module):
        if loss.__name__ not in module.__all__:
            continue
        tried = [case for case in tree.cases if case.loss is loss]
        if not tried:
            yield f"{loss.__name__} has no Case: add one to tests/support/cases/{family(module)}.py."
        for case in asked(tried):
            if case.id not in tree.fixtures:
                yield f"{loss.__name__} has no fixture {case.id}.npz: run `python tests/fixtures/make.py`."


def untold(module: ModuleType, tree: Tree) -> Iterator[str]:
    """The third edit, a line and a picture on the family's page, and the fourth, CHANGELOG."""
    page = f"docs/losses/{family(module)}.md"
    text = tree.docs.get(page, "") + "\n"
    for name in module.__all__:
        thing = getattr(module, name)
        if f"`{name}`" not in text:
            yield f"{name} is not in {page}: add its name to the table."
        if not isinstance(thing, type) and f"::: jaxloss.{name}\n" not in text:
            yield f"{name} is not in {page}: add the line `::: jaxloss.{name}`."
    for loss in functions(module):
        name = loss.__name__
        elements = {case.element for case in tree.cases if case.loss.fn is loss}
        row = next((line for line in text.splitlines() if line.startswith(f"| [`{name}`]")), "")
        if row and not all(f"| one {element}" in row for element in elements):
            yield f"{name} has the element {' and '.join(elements)} in its Case, but another one in {page}."
        if f"(../pictures/{name}-light.svg)" not in text:
            yield f"{name} is not drawn in {page}: add its picture after its `:::` line."
        if f"{name}-light.svg" not in tree.pictures:
            yield f"{name} has no picture: add it to docs/pictures and run `python docs/pictures/make.py`."
        if f"`{name}`" not in tree.changelog:
            yield f"{name} is not in CHANGELOG.md: add a line."


def family(module: ModuleType) -> str:
    return module.__name__.rpartition(".")[2]


def test_every_loss_has_its_four_edits() -> None:
    left = missing(TREE)
    assert not left, "\n".join(["What is left to do:", *left])


# A loss outside the tree ---------------------------------------------------------------------------------------------

CODE = """
import jax.numpy as jnp
import jaxloss
from jaxloss import Loss, reduce, static

__all__ = ["LogCoshLoss", "log_cosh_loss"]


def log_cosh_loss(predictions, targets, *, scale=1.0, reduction="mean", where=None, sample_weight=None):
    if where is not None:
        predictions, targets = (jnp.where(where, array, 0) for array in (predictions, targets))
    error = (predictions - targets) * jnp.asarray(scale, predictions.dtype)
    losses = jnp.logaddexp(error, -error) - jnp.log(jnp.asarray(2, error.dtype))
    return reduce(losses, reduction, where, sample_weight)


class LogCoshLoss(Loss, fn=log_cosh_loss):
    scale: float = 1.0
    reduction: jaxloss.Reduction = static("mean")
"""
PAGE = """
| [`log_cosh_loss`][jaxloss.log_cosh_loss] | `LogCoshLoss` | one number |

::: jaxloss.log_cosh_loss

![A bowl](../pictures/log_cosh_loss-light.svg)
"""


def written(code: str = CODE) -> ModuleType:
    module = ModuleType("jaxloss._losses.smooth")
    exec(compile(code, "smooth.py", "exec"), vars(module))
    return module


def log_cosh_case(module: ModuleType) -> Case:
    def log_cosh(predictions: np.ndarray, targets: np.ndarray, scale: float = 1.0) -> np.ndarray:
        return np.log(np.cosh(scale * (predictions - targets)))

    return Case(
        module.LogCoshLoss,
        pair,
        options=({}, {"scale": 0.5}),
        inputs={"batched": ELEMENTS["batched"]},
        differentiable=(0, 1),
        reference=Formula(log_cosh),
    )


def test_each_of_the_four_edits_is_asked_for_and_nothing_else() -> None:
    tree = Tree([written(CODE.replace("class LogCoshLoss", "class Other"))], [], [], {}, [], "")
    file, page = "jaxloss/_losses/smooth.py", "docs/losses/smooth.md"
    assert missing(replace(tree, families=[written(CODE.partition("class")[0].replace('"LogCoshLoss", ', ""))]))[0] == (
        f"log_cosh_loss has no option object: write `class ...(Loss, fn=log_cosh_loss)` in {file}."
    )
    module = written(CODE.replace('"LogCoshLoss", ', ""))
    assert missing(replace(tree, families=[module]))[0] == (
        f"LogCoshLoss is not public: name it in `__all__` of {file}."
    )
    module = written()
    tree = replace(tree, families=[module])
    needed = [
        "LogCoshLoss has no Case: add one to tests/support/cases/smooth.py.",
        f"LogCoshLoss is not in {page}: add its name to the table.",
        f"log_cosh_loss is not in {page}: add its name to the table.",
        f"log_cosh_loss is not in {page}: add the line `::: jaxloss.log_cosh_loss`.",
        f"log_cosh_loss is not drawn in {page}: add its picture after its `:::` line.",
        "log_cosh_loss has no picture: add it to docs/pictures and run `python docs/pictures/make.py`.",
        "log_cosh_loss is not in CHANGELOG.md: add a line.",
    ]
    assert missing(tree) == needed
    tree = replace(tree, cases=[log_cosh_case(module)])
    assert missing(tree) == needed[1:]
    tree = replace(tree, docs={page: PAGE}, pictures=["log_cosh_loss-light.svg"])
    assert missing(tree) == needed[-1:]
    assert missing(replace(tree, changelog="- `log_cosh_loss`.")) == []
    by_torch = replace(log_cosh_case(module), reference=Torch(), element="pair")
    assert missing(replace(tree, cases=[by_torch]))[:2] == [
        "LogCoshLoss has no fixture log_cosh_loss.npz: run `python tests/fixtures/make.py`.",
        f"log_cosh_loss has the element pair in its Case, but another one in {page}.",
    ]


def test_one_case_puts_a_loss_under_every_test() -> None:
    case = log_cosh_case(written())
    for law in (masking_equals_dropping, derivatives_equal_finite_differences):
        law(subject(case, 1))
    asked = Asked(case, "batched", "float64", (0, 1), case.reductions)
    compare(asked, expected(asked))
    names = {param.id.partition("-")[2] for param in common_mistakes([case])}
    assert {"unknown_reduction", "where_that_does_not_fit", "option_by_position"} <= names


def test_every_case_is_of_a_public_loss_and_every_fixture_of_a_case() -> None:
    assert {case.loss.__name__ for case in CASES} <= set(jaxloss.__all__)
    ids = [case.id for case in CASES]
    assert sorted(ids) == sorted(set(ids)), "two Cases of one loss need a `variant` each"
    left_over = set(TREE.fixtures) - {case.id for case in asked(CASES)} - set(WITHOUT_CASE)
    assert not left_over, f"no Case asks for {left_over}: delete them from tests/fixtures"


def is_alias(name: str) -> bool:
    return not isinstance(getattr(jaxloss, name), type | FunctionType)


def test_what_belongs_to_no_family_is_documented() -> None:
    families = {name for module in FAMILIES for name in module.__all__}
    text = "\n".join(TREE.docs.values())
    left = [name for name in jaxloss.__all__ if name not in families and f"::: jaxloss.{name}\n" not in text]
    undocumented = [name for name in left if not (is_alias(name) and f"`jaxloss.{name}`" in text)]
    assert not undocumented, f"add a line `::: jaxloss.<name>` to a page of docs/ for {undocumented}"


# The alias of a type has no docstring.
@pytest.mark.parametrize("name", [name for name in jaxloss.__all__ if not is_alias(name)])
def test_docstring_begins_with_one_line_that_says_what_it_measures(name: str) -> None:
    text = vars(getattr(jaxloss, name)).get("__doc__") or getattr(jaxloss, name).__doc__
    assert text, f"{name} has no docstring"
    summary, _, rest = inspect.cleandoc(text).partition("\n")
    assert re.fullmatch(r"\S.*[.]", summary), f"{name}: the first line of its docstring is not a sentence: {summary!r}"
    assert not rest or rest.startswith("\n"), f"{name}: no blank line follows the first of its docstring"
    assert "Computes" not in summary, f"{name}: say what it measures, not that it computes it"


@every_loss
def test_docstring_of_a_loss_has_every_section(loss: FunctionType) -> None:
    name, text = loss.__name__, inspect.getdoc(loss) or ""
    found = re.findall(r"^(Args|Returns|Raises|Examples|Source):", text, re.MULTILINE)
    assert found == ["Args", "Returns", "Raises", "Examples", "Source"], f"{name}: its docstring has only {found}"
    arguments = text.partition("\nArgs:\n")[2].partition("\nReturns:")[0]
    described = re.findall(r"^    (\w+):", arguments, re.MULTILINE)
    assert described == list(parameters(loss)), f"{name}: describe every argument under Args, in order"
    faces = [name, *(case.loss.__name__ for case in CASES if case.loss.fn is loss)]
    example = rf"^ +(>>>|\.\.\.) .*jaxloss\.({'|'.join(faces)})\("
    assert re.search(example, text, re.MULTILINE), f"{name}: its Examples do not call it"


@every_loss
def test_shared_keywords_come_last_and_are_the_same(loss: FunctionType) -> None:
    shared = list(parameters(loss).values())[-3:]
    wanted = [("reduction", "mean"), ("where", None), ("sample_weight", None)]
    assert [(each.name, each.default) for each in shared] == wanted, f"{loss.__name__}: end its signature in {wanted}"
    assert {each.kind for each in shared} == {inspect.Parameter.KEYWORD_ONLY}


@every_loss
def test_arrays_are_positional_and_options_have_defaults_or_are_required(loss: FunctionType) -> None:
    kinds = [each.kind for each in parameters(loss).values()]
    arrays = [each for each in parameters(loss).values() if each.kind is inspect.Parameter.POSITIONAL_OR_KEYWORD]
    options = [each for each in parameters(loss).values() if each.kind is inspect.Parameter.KEYWORD_ONLY]
    assert kinds == sorted(kinds), f"{loss.__name__}: arrays first"
    assert len(arrays) + len(options) == len(kinds), f"{loss.__name__}: options follow `*`, and nothing is collected"
    # An optional array is the last one, and says which entries of the others are padding.
    assert {each.default for each in arrays} <= {inspect.Parameter.empty, None}
    # An option without a default is an array that the loss has no meaning without, and its Case says so.
    needed = {each.name for each in options if each.default is inspect.Parameter.empty}
    assert all(needed <= case.required.keys() for case in CASES if case.loss.fn is loss)


HELPER_SIGNATURES = {
    "pairwise_distance": "a, b, *, p=2.0, eps=1e-06, keepdims=False",
    "log_softmax": "logits, *, axis=-1, axis_name=None",
    "cosine_similarity": "a, b, *, axis=-1, eps=1e-08",
    "token_log_probs": (
        "logits, targets, *, ignore_index=-100, temperature=1.0, logit_softcap=None, axis=-1, axis_name=None, "
        "where=None"
    ),
    "linear_token_log_probs": (
        "hidden, kernel, targets, *, bias=None, ignore_index=-100, temperature=1.0, logit_softcap=None, "
        "chunk_size=None, implementation=None, axis_name=None, where=None"
    ),
    "token_entropy": "logits, *, temperature=1.0, logit_softcap=None, axis=-1, axis_name=None, where=None",
    "sequence_log_probs": ("log_probs, *, where=None, average=False, segment_ids=None, num_segments=None, axis=-1"),
    "reduce": "losses, reduction='mean', where=None, sample_weight=None, *, count=None, dtype=None",
    "parts": "loss",
    "checked": "loss",
    "Mean": "total, weight, rest=None",
    "legacy_reduction": "size_average=None, reduce=None",
    "static": "default",
}


@pytest.mark.parametrize("name", HELPER_SIGNATURES)
def test_signature_is_as_agreed_on(name: str) -> None:
    empty = inspect.Parameter.empty
    bare = [each.replace(annotation=empty) for each in parameters(getattr(jaxloss, name)).values()]
    assert str(inspect.Signature(bare)) == f"({HELPER_SIGNATURES[name]})"


def test_option_objects_are_called_with_arrays_and_two_keywords() -> None:
    assert list(parameters(jaxloss.Loss.__call__)) == ["self", "arrays", "where", "sample_weight", "named"]
    for loss in (loss for module in FAMILIES for loss in objects(module)):
        assert {each.kind for each in parameters(loss).values()} == {inspect.Parameter.KEYWORD_ONLY}, loss


def test_public_names_are_sorted_distinct_and_there() -> None:
    for module in FAMILIES:
        assert module.__all__ == sorted(module.__all__), f"sort `__all__` of {module.__name__}"
        assert set(module.__all__) <= set(jaxloss.__all__), f"add {module.__name__}.__all__ to jaxloss/__init__.py"
    assert [name for name in jaxloss.__all__ if not hasattr(jaxloss, name)] == []
    # Which type checkers read only as a sum of lists: each of them is sorted, not the whole.
    assert len(jaxloss.__all__) == len(set(jaxloss.__all__))


def test_import_is_light() -> None:
    """It takes little beside JAX, NumPy and jaxtyping, and brings in nothing else."""
    code = """
import sys, time, jax, jax.numpy, jaxtyping, numpy
old, start = {*sys.modules}, time.process_time()
import jaxloss
sys.stdout.write(" ".join([str(time.process_time() - start), *({*sys.modules} - old)]))
"""
    command = [sys.executable, "-W", "error", "-c", code]
    seconds, *brought = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout.split()
    packages = {name.partition(".")[0] for name in brought} - sys.stdlib_module_names
    assert "jaxloss" in packages
    assert packages <= {"jaxloss", "jaxtyping", "wadler_lindig", "jax", "numpy"}
    assert float(seconds) < 0.5


SOURCES = sorted((ROOT / "jaxloss").rglob("*.py"))


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: path.relative_to(ROOT / "jaxloss").as_posix())
def test_file_fits_a_reader(path: Path) -> None:
    text = path.read_text()
    assert len(text.splitlines()) <= 400, f"split {path.relative_to(ROOT)} by subject"
    long = {name: lines for name, lines in code_lines(text).items() if lines > 46}
    assert not long, f"{path.relative_to(ROOT)}: split these functions: {long} lines"


def code_lines(text: str) -> dict[str, int]:
    """The lines of each function's body without its docstring: a signature spells out every option."""
    found = {}
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.FunctionDef):
            body = node.body if ast.get_docstring(node, clean=False) is None else node.body[1:]
            found[node.name] = node.end_lineno - body[0].lineno + 1 if body else 0
    return found


def test_lines_of_code_are_those_of_the_body() -> None:
    text = 'def f(\n    x\n):\n    """One.\n\n    Two."""\n    def g():\n        pass\n    return x'
    assert code_lines(text) == {"f": 3, "g": 1}
