"""Adding a loss is three edits, and these tests name what was forgotten; and the public interface is as agreed on."""

import importlib
import inspect
import pkgutil
import re
import subprocess
import sys
from collections.abc import Collection, Iterable, Mapping
from pathlib import Path
from types import FunctionType, ModuleType

import pytest
from case import Case
from cases import CASES
from fixtures.make import OF_NO_CASE

import jaxloss

ROOT = Path(__file__).parent.parent
MODULES = [importlib.import_module(f"jaxloss.{module.name}") for module in pkgutil.iter_modules(jaxloss.__path__)]
FAMILIES = [module for module in MODULES if hasattr(module, "__all__")]
FIXTURES = {path.stem for path in (ROOT / "tests/fixtures").glob("*.npz")}
DOCS = {path.relative_to(ROOT).as_posix(): path.read_text() for path in ROOT.glob("docs/**/*.md")}


def functions(module: ModuleType) -> list[FunctionType]:
    """The loss functions of a family: the helpers among its public functions take no `reduction`."""
    public = [getattr(module, name) for name in module.__all__]
    losses = [thing for thing in public if not isinstance(thing, type) and "reduction" in parameters(thing)]
    return [loss for loss in losses if not loss.__name__.endswith("_with_stats")]  # the same, with more in its result


def objects(module: ModuleType, names: Iterable[str]) -> list[type[jaxloss.Loss]]:
    things = [vars(module)[name] for name in names]
    return [
        thing
        for thing in things
        if isinstance(thing, type) and issubclass(thing, jaxloss.Loss) and thing.__module__ == module.__name__
    ]


def parameters(function: object) -> Mapping[str, inspect.Parameter]:
    return inspect.signature(function).parameters


LOSSES = [function for module in FAMILIES for function in functions(module)]


def missing(
    modules: Iterable[ModuleType], cases: Collection[Case], fixtures: Collection[str], docs: Mapping[str, str]
) -> list[str]:
    """What is left to do of the three edits that add a loss, one line each."""
    left: list[str] = []
    for module in modules:
        file = module.__name__.replace(".", "/") + ".py"
        for function in functions(module):
            name = function.__name__
            of_it = [loss for loss in objects(module, vars(module)) if loss.fn is function]
            if not of_it:
                left.append(f"{name} has no option object: write `class ...(Loss, fn={name})` in {file}.")
            left += [
                f"{loss.__name__} is not public: name it in `__all__` of {file}."
                for loss in of_it
                if loss.__name__ not in module.__all__
            ]
        for loss in objects(module, module.__all__):
            name = loss.__name__
            tried = [case for case in cases if case.loss is loss]
            if not tried:
                left.append(f"{name} has no Case: add one to tests/cases.py.")
            left += [
                f"{name} has no fixture {case.id}.npz: run `python tests/fixtures/make.py`."
                for case in tried
                if case.id not in fixtures
            ]
        page = f"docs/losses/{module.__name__.rpartition('.')[2].lstrip('_')}.md"
        left += undocumented(module, page, docs.get(page, ""))
    return left


def undocumented(module: ModuleType, page: str, text: str) -> list[str]:
    left = []
    for name in module.__all__:
        if f"`{name}`" not in text:
            left.append(f"{name} is not in {page}: add its name to the table.")
        if not isinstance(getattr(module, name), type) and f"::: jaxloss.{name}\n" not in text + "\n":
            left.append(f"{name} is not in {page}: add the line `::: jaxloss.{name}`.")
    return left


def test_every_loss_has_its_three_edits() -> None:
    left = missing(FAMILIES, CASES, FIXTURES, DOCS)
    assert not left, "\n".join(["What is left to do:", *left])


def without(module: ModuleType, *names: str, private: Collection[str] = ()) -> ModuleType:
    """A copy of a family that lacks some names, and has others that `__all__` lacks."""
    copy = ModuleType(module.__name__)
    vars(copy).update({name: thing for name, thing in vars(module).items() if name not in names})
    copy.__all__ = [name for name in module.__all__ if name not in (*names, *private)]
    return copy


def test_what_is_missing_is_named() -> None:
    from jaxloss import _regression as family

    page = "docs/losses/regression.md"
    cases = [case for case in CASES if case.loss is not jaxloss.HuberLoss]
    docs = {**DOCS, page: DOCS[page].replace("::: jaxloss.huber_loss\n", "").replace("`HuberLoss`", "")}
    assert missing([without(family, "HuberLoss")], CASES, FIXTURES, DOCS) == [
        "huber_loss has no option object: write `class ...(Loss, fn=huber_loss)` in jaxloss/_regression.py."
    ]
    assert missing([without(family, private=["HuberLoss"])], CASES, FIXTURES, DOCS) == [
        "HuberLoss is not public: name it in `__all__` of jaxloss/_regression.py."
    ]
    assert missing([family], cases, FIXTURES, DOCS) == ["HuberLoss has no Case: add one to tests/cases.py."]
    assert missing([family], CASES, FIXTURES - {"huber_loss"}, DOCS) == [
        "HuberLoss has no fixture huber_loss.npz: run `python tests/fixtures/make.py`."
    ]
    assert missing([family], CASES, FIXTURES, docs) == [
        f"HuberLoss is not in {page}: add its name to the table.",
        f"huber_loss is not in {page}: add the line `::: jaxloss.huber_loss`.",
    ]
    assert len(missing([family], CASES, FIXTURES, {})) == 3 * len(functions(family))  # there is no page at all


def test_every_case_is_of_a_public_loss_and_every_fixture_of_a_case() -> None:
    assert {case.loss.__name__ for case in CASES} <= set(jaxloss.__all__)
    ids = [case.id for case in CASES]
    assert sorted(ids) == sorted(set(ids)), "two Cases of one loss need a `variant` each"
    left_over = FIXTURES - set(ids) - set(OF_NO_CASE)
    assert not left_over, f"no Case asks for {left_over}: delete them from tests/fixtures"


def test_what_belongs_to_no_family_is_documented() -> None:
    families = {name for module in FAMILIES for name in module.__all__}
    text = "\n".join(DOCS.values())
    left = [name for name in jaxloss.__all__ if name not in families and f"::: jaxloss.{name}\n" not in text]
    assert not left, f"add a line `::: jaxloss.<name>` to a page of docs/ for {left}"


def test_readme_names_every_loss() -> None:
    text = (ROOT / "README.md").read_text()
    left = [function.__name__ for function in LOSSES if not re.search(rf"\b{function.__name__}\b", text)]
    assert not left, f"add to README.md's table of losses: {', '.join(left)}"


@pytest.mark.parametrize("name", jaxloss.__all__)
def test_docstring_begins_with_one_line_that_says_what_it_measures(name: str) -> None:
    text = vars(getattr(jaxloss, name)).get("__doc__") or getattr(jaxloss, name).__doc__
    assert text, f"{name} has no docstring"
    summary, _, rest = inspect.cleandoc(text).partition("\n")
    assert re.fullmatch(r"\S.*[.]", summary), f"{name}: the first line of its docstring is not a sentence: {summary!r}"
    assert not rest or rest.startswith("\n"), f"{name}: no blank line follows the first of its docstring"
    assert "Computes" not in summary, f"{name}: say what it measures, not that it computes it"


@pytest.mark.parametrize("loss", LOSSES, ids=lambda loss: loss.__name__)
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


@pytest.mark.parametrize("loss", LOSSES, ids=lambda loss: loss.__name__)
def test_shared_keywords_come_last_and_are_the_same(loss: FunctionType) -> None:
    shared = list(parameters(loss).values())[-3:]
    wanted = [("reduction", "mean"), ("where", None), ("sample_weight", None)]
    assert [(each.name, each.default) for each in shared] == wanted, f"{loss.__name__}: end its signature in {wanted}"
    assert {each.kind for each in shared} == {inspect.Parameter.KEYWORD_ONLY}


# The interface as agreed on: arrays are positional, options are keywords, names and defaults are PyTorch's.
OF_LOSSES = {
    "l1_loss": "predictions, targets, *",
    "mse_loss": "predictions, targets, *",
    "huber_loss": "predictions, targets, *, delta=1.0",
    "smooth_l1_loss": "predictions, targets, *, beta=1.0",
    "poisson_nll_loss": "predictions, targets, *, log_input=True, full=False, eps=1e-08",
    "gaussian_nll_loss": "predictions, targets, var, *, full=False, eps=1e-06",
    "kl_div": "log_predictions, targets, *, log_target=False",
    "cross_entropy": (
        "logits, targets, *, weight=None, ignore_index=-100, label_smoothing=0.0, z_loss=0.0, axis=-1, axis_name=None"
    ),
    "linear_cross_entropy": (
        "hidden, kernel, targets, *, bias=None, weight=None, ignore_index=-100, label_smoothing=0.0, z_loss=0.0, "
        "logit_softcap=None, chunk_size=None, implementation=None, axis_name=None"
    ),
    "nll_loss": "log_probs, targets, *, weight=None, ignore_index=-100, axis=-1",
    "binary_cross_entropy": "predictions, targets, *, weight=None",
    "binary_cross_entropy_with_logits": "logits, targets, *, weight=None, pos_weight=None",
    "soft_margin_loss": "predictions, targets, *",
    "multilabel_soft_margin_loss": "logits, targets, *, weight=None",
    "multi_margin_loss": "predictions, targets, *, p=1, margin=1.0, weight=None",
    "multilabel_margin_loss": "predictions, targets, *",
    "hinge_embedding_loss": "predictions, targets, *, margin=1.0",
    "margin_ranking_loss": "predictions1, predictions2, targets, *, margin=0.0",
    "cosine_embedding_loss": "embeddings1, embeddings2, targets, *, margin=0.0",
    "triplet_margin_loss": "anchor, positive, negative, *, margin=1.0, p=2.0, eps=1e-06, swap=False",
    "triplet_margin_with_distance_loss": (
        "anchor, positive, negative, *, distance_function=None, margin=1.0, swap=False"
    ),
}
OF_HELPERS = {
    "pairwise_distance": "a, b, *, p=2.0, eps=1e-06, keepdims=False",
    "log_softmax": "logits, *, axis=-1, axis_name=None",
    "cosine_similarity": "a, b, *, axis=-1, eps=1e-08",
    "reduce": "losses, reduction='mean', where=None, sample_weight=None, *, count=None, dtype=None",
    "parts": "loss",
    "checked": "loss",
    "Mean": "total, weight, rest=None",
    "legacy_reduction": "size_average=None, reduce=None",
    "static": "default",
}
SIGNATURES = OF_HELPERS | {
    name: f"{own}, reduction='mean', where=None, sample_weight=None" for name, own in OF_LOSSES.items()
}


@pytest.mark.parametrize("name", SIGNATURES)
def test_signature_is_as_agreed_on(name: str) -> None:
    empty = inspect.Parameter.empty
    bare = [each.replace(annotation=empty) for each in parameters(getattr(jaxloss, name)).values()]
    assert str(inspect.Signature(bare)) == f"({SIGNATURES[name]})"


def test_option_objects_are_called_with_arrays_and_two_keywords() -> None:
    assert list(parameters(jaxloss.Loss.__call__)) == ["self", "arrays", "where", "sample_weight"]
    for loss in (loss for module in FAMILIES for loss in objects(module, module.__all__)):
        assert {each.kind for each in parameters(loss).values()} == {inspect.Parameter.KEYWORD_ONLY}, loss


def test_public_names_are_sorted_distinct_and_there() -> None:
    for module in FAMILIES:
        assert module.__all__ == sorted(module.__all__), f"sort `__all__` of {module.__name__}"
        assert set(module.__all__) <= set(jaxloss.__all__), f"add {module.__name__}.__all__ to jaxloss/__init__.py"
    assert [name for name in jaxloss.__all__ if not hasattr(jaxloss, name)] == []
    # Which type checkers read only as a sum of lists: each of them is sorted, not the whole.
    assert len(jaxloss.__all__) == len(set(jaxloss.__all__))


def test_import_brings_in_jax_numpy_jaxtyping_and_nothing_else() -> None:
    code = "import sys, jax; old = {*sys.modules}; import jaxloss; sys.stdout.write(' '.join({*sys.modules} - old))"
    command = [sys.executable, "-W", "error", "-c", code]
    brought = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout.split()
    packages = {name.partition(".")[0] for name in brought} - sys.stdlib_module_names
    assert "jaxloss" in packages
    assert packages <= {"jaxloss", "jaxtyping", "wadler_lindig", "jax", "numpy"}


@pytest.mark.parametrize("path", sorted((ROOT / "jaxloss").rglob("*.py")), ids=lambda path: path.name)
def test_file_fits_a_reader(path: Path) -> None:
    assert len(path.read_text().splitlines()) <= 400, f"split {path.relative_to(ROOT)} along what it is about"
