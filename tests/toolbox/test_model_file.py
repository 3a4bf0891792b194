"""Models on disk: loading one never runs code, and one model has one file."""

import copy
import io
import json
import pickle
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from helpers import imported
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sklearn.compose import make_column_selector, make_column_transformer
from sklearn.ensemble import (
    HistGradientBoostingClassifier,
    HistGradientBoostingRegressor,
    RandomForestClassifier,
)
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, OneHotEncoder, StandardScaler

from esteira.line import model_file
from esteira.line.errors import UserError

# What would run a program or write a file: a model must be refused before it names one.
DANGEROUS = [
    ("os", "system"),
    ("posix", "system"),
    ("builtins", "eval"),
    ("builtins", "exec"),
    ("builtins", "__import__"),
    ("builtins", "open"),
    ("subprocess", "Popen"),
    ("subprocess", "check_output"),
    ("runpy", "run_path"),
    ("pickle", "loads"),
    ("joblib", "load"),
    ("numpy", "load"),
    ("pandas", "read_pickle"),
    ("importlib", "import_module"),
    ("ctypes", "CDLL"),
    ("webbrowser", "open"),
    ("shutil", "rmtree"),
    ("pathlib", "Path"),
    # scikit-learn's, numpy's and scipy's own that read files, call what they are given, or run text
    ("sklearn.datasets._base", "load_files"),
    ("sklearn.datasets._base", "_fetch_remote"),
    ("sklearn.datasets._openml", "fetch_openml"),
    ("sklearn.utils._testing", "delayed"),
    ("sklearn.utils.parallel", "_FuncWrapper"),
    ("sklearn.metrics._dist_metrics", "PyFuncDistance64"),
    ("numpy", "fromfile"),
    ("numpy", "apply_along_axis"),
    ("scipy.io", "loadmat"),
    ("scipy.stats._distn_infrastructure", "rv_frozen"),
]
WATCHED = {"os.system", "subprocess.Popen", "os.posix_spawn", "os.exec", "ctypes.dlopen", "exec"}


class Seen:
    """Collects the events of Python's audit hooks while it is on; a hook cannot be removed."""

    on = False
    events: list[str] = []  # noqa: RUF012


def watch(event: str, args: tuple) -> None:
    installed = event == "exec" and Path(getattr(args[0], "co_filename", "")).is_absolute()
    if Seen.on and event in WATCHED and not installed:  # importing an installed module is harmless
        Seen.events.append(event)


sys.addaudithook(watch)


@contextmanager
def nothing_runs() -> Iterator[None]:
    """Fail the test if what is inside runs a program or compiled text."""
    Seen.events, Seen.on = [], True
    try:
        yield
    finally:
        Seen.on = False
    assert Seen.events == []


def test_the_watch_sees_a_program() -> None:
    with pytest.raises(AssertionError), nothing_runs():
        subprocess.run(["git", "--version"], check=True, capture_output=True)


def double(table: pd.DataFrame) -> pd.DataFrame:
    return table * 2


def data(rows: int = 90) -> tuple[pd.DataFrame, np.ndarray]:
    rng = np.random.default_rng(0)
    table = pd.DataFrame({"a": rng.normal(size=rows), "b": rng.normal(size=rows)})
    table["c"] = rng.choice(["x", "y", "é"], rows)
    return table, np.where(table["a"] + rng.normal(size=rows) > 0, "yes", "no")


def fitted(estimator: Any) -> Any:
    table, target = data()
    if hasattr(estimator, "random_state"):
        estimator.set_params(random_state=7)
    numbers = make_pipeline(SimpleImputer(), StandardScaler())
    preprocess = make_column_transformer(
        (numbers, make_column_selector(dtype_include="number")),
        (OneHotEncoder(sparse_output=False), make_column_selector(dtype_exclude="number")),
    )
    numeric = "Regressor" in type(estimator).__name__ or isinstance(estimator, Ridge)
    return make_pipeline(preprocess, estimator).fit(table, target == "yes" if numeric else target)


ESTIMATORS = [
    LogisticRegression(),
    Ridge(),
    RandomForestClassifier(n_estimators=5),
    HistGradientBoostingClassifier(max_iter=5),
    HistGradientBoostingRegressor(max_iter=5),
    KNeighborsClassifier(),
]


@pytest.mark.parametrize("estimator", ESTIMATORS, ids=lambda e: type(e).__name__)
def test_equal_models_have_equal_bytes_and_predict_alike(tmp_path: Path, estimator: Any) -> None:
    first, again = tmp_path / "first.skops", tmp_path / "again.skops"
    model = fitted(estimator)
    model_file.save(model, first)
    model_file.save(fitted(copy.deepcopy(estimator)), again)
    assert first.read_bytes() == again.read_bytes()
    loaded = model_file.load(first)
    table, _ = data()
    assert np.array_equal(loaded.predict(table), model.predict(table))


def test_another_model_has_other_bytes(tmp_path: Path) -> None:
    model_file.save(fitted(LogisticRegression(C=1)), tmp_path / "one.skops")
    model_file.save(fitted(LogisticRegression(C=2)), tmp_path / "two.skops")
    assert (tmp_path / "one.skops").read_bytes() != (tmp_path / "two.skops").read_bytes()


def tampered(source: Path, target: Path, change: Any) -> Path:
    """Write a copy of a model file whose schema `change` has edited in place."""
    with zipfile.ZipFile(source) as archive:
        parts = {name: archive.read(name) for name in archive.namelist()}
    schema = json.loads(parts["schema.json"])
    change(schema)
    parts["schema.json"] = json.dumps(schema).encode()
    with zipfile.ZipFile(target, "w") as archive:
        for name, content in parts.items():
            archive.writestr(name, content)
    return target


def nodes(node: Any) -> Iterator[dict]:
    """Yield every object that a schema describes."""
    if isinstance(node, dict):
        if "__class__" in node:
            yield node
        for value in node.values():
            yield from nodes(value)
    elif isinstance(node, list):
        for value in node:
            yield from nodes(value)


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("model") / "model.skops"
    table, target = data()
    steps = FunctionTransformer(double), LogisticRegression()
    fitted_steps = make_pipeline(*steps).fit(table[["a", "b"]], target)
    model_file.save(fitted_steps, path, functions=(double,))
    return path


def function(schema: dict) -> dict:
    """Return the part of the schema that names the function of FunctionTransformer."""
    return next(n for n in nodes(schema) if n.get("__loader__") == "FunctionNode")


@pytest.mark.parametrize(("module", "name"), DANGEROUS)
def test_a_model_that_calls_something_else_is_refused(
    good: Path, tmp_path: Path, module: str, name: str
) -> None:
    def change(schema: dict) -> None:
        node = function(schema)
        content = node.get("content", node)
        content["module_path"], content["function"] = module, name
        node["__module__"], node["__class__"] = module, name

    path = tampered(good, tmp_path / "evil.skops", change)
    with nothing_runs(), pytest.raises(UserError, match=r"is refused: it holds .* use only models"):
        model_file.load(path, functions=(double,))


def test_the_projects_own_function_must_be_named(good: Path) -> None:
    assert model_file.load(good, functions=(double,)).predict(data()[0][["a", "b"]]).shape == (90,)
    with pytest.raises(UserError, match=r"is refused: it holds \S*double"):
        model_file.load(good)


class Payload:
    def __reduce__(self) -> tuple:
        return Path.write_text, (Path("owned.txt"), "owned")


def test_a_pickle_is_no_model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("evil.skops").write_bytes(pickle.dumps(Payload()))
    with pytest.raises(UserError, match=r"evil\.skops is not a model of this line"):
        model_file.load("evil.skops")
    assert not Path("owned.txt").exists()


@pytest.mark.parametrize(
    "place", ["ConstructorFromReduceNode", "LossNode", "TypeNode", "SetNode", "ObjectNode"]
)
def test_a_function_that_may_be_named_may_not_be_called(
    good: Path, tmp_path: Path, place: str
) -> None:
    """Some places of a file have what they name called with values of the file's choice."""

    def change(schema: dict) -> None:
        node = function(schema)
        node |= {"__module__": "numpy", "__class__": "mean", "__loader__": place}
        node |= {"content": {"__loader__": "TupleNode", "__module__": "builtins"}}
        node["content"] |= {"__class__": "tuple", "content": []}
        node["__reduce__"] = {"args": node["content"]}
        if place == "SetNode":
            node["content"] = []

    path = tampered(good, tmp_path / "evil.skops", change)
    with pytest.raises(UserError, match=r"is refused: it holds numpy\.mean"):
        model_file.load(path, functions=(double,))


@pytest.mark.parametrize("share", [0, 0.3, 0.9, 0.999])
def test_a_truncated_file_is_refused(good: Path, tmp_path: Path, share: float) -> None:
    content = good.read_bytes()
    (tmp_path / "cut.skops").write_bytes(content[: int(len(content) * share)])
    with pytest.raises(UserError, match=r"cut\.skops is not a model of this line"):
        model_file.load(tmp_path / "cut.skops", functions=(double,))


def test_a_flipped_bit_changes_nothing_or_is_told(good: Path, tmp_path: Path) -> None:
    content = good.read_bytes()
    table = data()[0][["a", "b"]]
    expected = model_file.load(good, functions=(double,)).predict(table)
    path = tmp_path / "flipped.skops"
    told = []
    for at in range(0, len(content), max(1, len(content) // 250)):
        flipped = bytearray(content)
        flipped[at] ^= 1 << (at % 8)
        path.write_bytes(flipped)
        try:
            loaded = model_file.load(path, functions=(double,))
        except UserError as error:
            told.append(str(error))
        else:
            assert (loaded.predict(table) == expected).all()
    assert len(told) > 100
    assert all("\n" not in sentence for sentence in told)


def stored(source: Path, target: Path, name: str, content: bytes, packing: int) -> Path:
    """Write a copy of a model file in which one member has other content."""
    with zipfile.ZipFile(source) as archive, zipfile.ZipFile(target, "w", packing) as copy_:
        for each in archive.namelist():
            copy_.writestr(each, content if each == name else archive.read(each))
    return target


def array_claiming(rows: int, held: int) -> bytes:
    """Return an array's file that claims so many numbers and holds so many."""
    buffer = io.BytesIO()
    header = {"descr": "<f8", "fortran_order": False, "shape": (rows,)}
    np.lib.format.write_array_header_1_0(buffer, header)
    return buffer.getvalue() + bytes(8 * held)


@pytest.mark.parametrize("rows", [2**28, 2**60])
def test_an_array_that_claims_more_than_it_holds_is_refused(
    good: Path, tmp_path: Path, rows: int
) -> None:
    claim = array_claiming(rows, held=10)
    path = stored(good, tmp_path / "claim.skops", "000001.npy", claim, zipfile.ZIP_STORED)
    with pytest.raises(UserError, match=r"claim\.skops is not a model of this line: "):
        model_file.load(path, functions=(double,))


def packed_archive(content: bytes) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("data.npy", content)
    return buffer.getvalue()


@pytest.mark.parametrize("kind", ["array", "array in an archive", "schema"])
def test_a_file_that_unpacks_to_very_much_is_refused_unread(
    good: Path, tmp_path: Path, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(model_file, "FREELY", 2**22)
    monkeypatch.setattr(model_file, "SCHEMA_FREELY", 2**20)
    content = {
        "array": array_claiming(2**20, held=2**20),
        "array in an archive": packed_archive(array_claiming(2**20, held=2**20)),
        "schema": b"[" * 2**21,
    }[kind]
    name = "schema.json" if kind == "schema" else "000001.npy"
    path = stored(good, tmp_path / "bomb.skops", name, content, zipfile.ZIP_DEFLATED)
    with pytest.raises(UserError, match=r"is not a model of this line: its \S+ bytes would unpack"):
        model_file.load(path, functions=(double,))


def test_a_schema_that_is_very_deep_is_refused(good: Path, tmp_path: Path) -> None:
    deep = b"[" * 100_000 + b"]" * 100_000
    path = stored(good, tmp_path / "deep.skops", "schema.json", deep, zipfile.ZIP_DEFLATED)
    with pytest.raises(UserError, match="is not a model of this line"):
        model_file.load(path, functions=(double,))


@pytest.mark.parametrize("first", [True, False], ids=["large first", "small first"])
def test_objects_that_refer_to_each_other_again_and_again_are_refused(
    good: Path, tmp_path: Path, first: bool
) -> None:
    """Forty lists, each holding the next one twice: 2^40 visits for who follows them."""

    def change(schema: dict) -> None:
        base = {"__loader__": "ListNode", "__module__": "builtins", "__class__": "list"}
        below: dict = {**base, "content": [], "__id__": 9000}
        for number in range(9001, 9041):
            again = {**base, "content": [], "__id__": below["__id__"]}
            pair = [below, again] if first else [again, below]
            below = {**base, "content": pair, "__id__": number}
        function(schema)["content"] = below
        schema["more"] = below

    path = tampered(good, tmp_path / "again.skops", change)
    with pytest.raises(UserError, match="refer to each other again and again"):
        model_file.load(path, functions=(double,))


def test_loading_imports_no_room_of_scikit_learn_that_the_model_has_nothing_from(
    tmp_path: Path,
) -> None:
    table, target = data()
    fitted = make_pipeline(StandardScaler(), LogisticRegression()).fit(table[["a", "b"]], target)
    model_file.save(fitted, tmp_path / "model.skops")
    code = "import sys\nfrom esteira.line import model_file\nmodel_file.load(sys.argv[1])"
    modules = imported(tmp_path, code, "model.skops")
    assert "sklearn.linear_model" in modules
    assert "sklearn.gaussian_process" not in modules
    assert "sklearn.datasets" not in modules


def test_an_absent_file_is_told(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="does not exist"):
        model_file.load(tmp_path / "none.skops")


@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    which=st.integers(0, 10_000),
    evil=st.sampled_from(DANGEROUS),
    loader=st.sampled_from(
        ["", "FunctionNode", "TypeNode", "MethodNode", "ObjectNode", "ReduceNode", "PartialNode"]
    ),
)
def test_no_edit_of_a_model_file_runs_anything(
    good: Path, tmp_path: Path, which: int, evil: tuple[str, str], loader: str
) -> None:
    """Whatever object of the file is made something dangerous, loading stops or ignores it."""

    def change(schema: dict) -> None:
        every = list(nodes(schema))
        node = every[which % len(every)]
        node["__module__"], node["__class__"] = evil
        node["__loader__"] = loader or node["__loader__"]
        if isinstance(node.get("content"), dict):
            node["content"] |= {"module_path": evil[0], "function": evil[1]}

    path = tampered(good, tmp_path / "evil.skops", change)
    try:
        with nothing_runs():
            loaded = model_file.load(path, functions=(double,))
    except UserError:
        return
    assert type(loaded).__module__.startswith("sklearn.")
