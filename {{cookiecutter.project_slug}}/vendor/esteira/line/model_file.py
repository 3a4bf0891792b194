"""Models on disk, in the skops format: loading one runs no code of its own, one model has one file.

A skops file is a zip of `schema.json` and arrays that are named after memory addresses and dated
now. `save` numbers the objects in the order of the schema instead, and leaves out what says when
and where a model was fitted, so that equal models give equal bytes.
"""

import importlib
import io
import json
import zipfile
import zlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, astuple, dataclass
from pathlib import Path
from typing import Any
from unittest import mock

from esteira.line.errors import UserError, one_line
from esteira.line.files import replacing
from esteira.line.loadable import ALLOWED, is_estimator

SCHEMA = "schema.json"
ORIGIN = "origin.json"  # what the model was made from: no part of the model, and not read by `load`
LARGEST_ORIGIN = 10_000  # bytes
NOTE_ERRORS = (zipfile.BadZipFile, zlib.error, ValueError, TypeError, OSError, RecursionError)
# To how many bytes a file and its schema may unpack, or else to how many times the file's size.
FREELY, SCHEMA_FREELY, RATIO = 2**28, 2**25, 100
# What differs between equal models: threads of binning, an address in text vectorizers, and times.
CHANCE = {"n_threads": "1", "_stop_words_id": "0", "refit_time_": "0.0"}
TIMES = {"mean_fit_time", "std_fit_time", "mean_score_time", "std_score_time"}

Names = Sequence[str]
Functions = Sequence[Callable]


@dataclass(frozen=True)
class MadeFrom:
    """What a model was made from, as the hashes that DVC has of the files; "" where not noted."""

    data: str = ""  # the rows that it learnt
    schema: str = ""  # schema.yaml


@dataclass(frozen=True)
class _Named:
    """What a file names beyond what skops trusts without its list of estimators."""

    beyond: list[str]
    strangers: list[str]  # of these, what is trusted by neither `loadable` nor the caller


def save(
    model: Any,
    path: str | Path,
    trusted: Names = (),
    functions: Functions = (),
    origin: MadeFrom | None = None,
) -> None:
    """Write a fitted estimator that `load` will take; equal models give equal bytes.

    `trusted` and `functions` are what `load` will be given, `origin` is noted beside the model.
    Raises UserError for a model that could not be loaded again, and leaves the file as it was.
    """
    dumps = _skops().dumps
    allowed = _allowed(trusted, functions)
    _forget_the_run(model)
    try:
        data = _canonical(dumps(model), origin)
        named = _named(data, allowed)
    except Exception as error:  # any part of the model may raise
        raise UserError(f"the model cannot be saved: {one_line(error)}.") from None
    if named.strangers:
        raise UserError(_ask_for_trust(named.strangers, trusted))
    try:
        _loaded(data, named)
    except Exception as error:  # any part of the model may raise
        raise UserError(f"the model could not be loaded again: {one_line(error)}.") from None
    with replacing(path) as temporary:
        temporary.write_bytes(data)


def load(path: str | Path, trusted: Names = (), functions: Functions = ()) -> Any:
    """Read a fitted estimator that `save` wrote.

    `trusted` are names of classes and functions beside those in `loadable.py`, and `functions` the
    project's own that the model may call, such as `features.engineer`. Raises UserError for a file
    that is absent, broken, or names anything else
    (https://skops.readthedocs.io/en/stable/persistence.html).
    """
    if not Path(path).is_file():
        raise UserError(f"{path} does not exist: run `uv run dvc repro` (or `uv run dvc pull`).")
    allowed = _allowed(trusted, functions)
    data = Path(path).read_bytes()
    try:
        named = _named(data, allowed)
        if not named.strangers:
            return _loaded(data, named)
    except Exception as error:  # what a broken file makes of its objects may raise anything
        raise UserError(f"{path} is not a model of this line: {one_line(error)}.") from None
    raise UserError(
        f"{path} is refused: it holds {', '.join(named.strangers)}, which is neither scikit-learn's"
        " own nor in TRUSTED of model.py; use only models that this project's line has trained."
    )


def origin(path: str | Path) -> MadeFrom:
    """Return what a model file says it was made from.

    Raises UserError for a file that is absent, no model file, or notes something else.
    """
    if not Path(path).is_file():
        raise UserError(f"{path} is not here: run `uv run dvc pull`, or `uv run dvc repro`.")
    try:
        with zipfile.ZipFile(path) as archive:
            if ORIGIN not in archive.namelist():
                return MadeFrom()
            if archive.getinfo(ORIGIN).file_size > LARGEST_ORIGIN:
                raise ValueError("its note of what it was made from is too long")
            noted = json.loads(archive.read(ORIGIN))
        made_from = MadeFrom(**noted)
        if not all(isinstance(each, str) for each in astuple(made_from)):
            raise ValueError("its note of what it was made from holds more than hashes")
    except NOTE_ERRORS as error:
        raise UserError(f"{path} is not a model of this line: {one_line(error)}.") from None
    return made_from


def estimator(path: str | Path) -> str:
    """Return the class of a pipeline's last step, by what its file names; nothing is loaded.

    Raises UserError for a file that is absent or no model file.
    """
    try:
        schema = _schema(Path(path).read_bytes())
    except Exception as error:  # whatever a broken file makes
        raise UserError(f"{path} is not a model of this line: {one_line(error)}.") from None
    try:
        *_, last = schema["content"]["content"]["steps"]["content"]
        return str(last["content"][1]["__class__"])
    except (KeyError, TypeError, ValueError, IndexError):
        return str(schema.get("__class__", ""))


def _allowed(trusted: Names, functions: Functions) -> set[str]:
    """Return the names that the caller trusts. Raises UserError for one text instead of several."""
    if isinstance(trusted, str):
        raise UserError(
            f"TRUSTED in model.py is one text, {trusted!r}: write a comma behind it, in brackets."
        )
    return {*trusted, *(f"{f.__module__}.{f.__qualname__}" for f in functions)}


def _ask_for_trust(strangers: list[str], trusted: Names) -> str:
    """Say what must be written where, for these names to be loaded."""
    nameless = [name for name in strangers if "<" in name]
    if nameless:
        return (
            f"the model could not be loaded again: it holds {nameless[0]}, a function without a"
            " name: define it with `def` in features.py, and name it in TRUSTED of model.py."
        )
    return (
        f"the model could not be loaded again: it holds {', '.join(strangers)}, which is not"
        " scikit-learn's own. If you trust what it names, write in model.py:"
        f" TRUSTED = {(*trusted, *strangers)!r}"
    )


def _loaded(data: bytes, named: _Named) -> Any:
    """Make the model of a file that names no strangers."""
    return _skops().loads(data, trusted=named.beyond)


def _named(data: bytes, allowed: set[str]) -> _Named:
    """Return what a file names, and which of it is trusted by none of skops, `loadable`, `allowed`.

    Raises ValueError for a file that would unpack to more than it may or visits its objects without
    end, and other errors for a file that is broken.
    """
    places: dict[str, set[str]] = {}
    for node in _nodes(_schema(data)):
        name = f"{node.get('__module__')}.{node.get('__class__')}"
        places.setdefault(name, set()).add(str(node.get("__loader__")))
    beyond = _skops().get_untrusted_types(data=data)
    strangers = [name for name in beyond if name not in allowed]
    return _Named(beyond, [n for n in strangers if not _in_place(n, places.get(n, set()))])


def _skops() -> Any:
    """Return `skops.io`, imported without its tour of scikit-learn.

    For a list of the estimators skops imports every module of scikit-learn, which costs each
    process a second. It gets an empty list instead, and `is_estimator` answers for the few names of
    a file. Whoever has imported skops before keeps what it has.
    """
    with mock.patch("sklearn.utils.all_estimators", list):
        return importlib.import_module("skops.io")


def _in_place(name: str, places: set[str]) -> bool:
    """Whether a name stands only where it may: skops would call it in some other places."""
    if places == {"ObjectNode"} and is_estimator(name):
        return True
    return bool(places) and all(name in ALLOWED.get(place, ()) for place in places)


def _schema(data: bytes) -> dict[str, Any]:
    """Read the schema of a file, once its sizes are checked."""
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        _refuse_bomb(data, archive.getinfo(SCHEMA).file_size, SCHEMA_FREELY)
        _refuse_bomb(data, _size(archive), FREELY)
        _refuse_bomb(data, _size(archive) + _inner_size(archive), FREELY)
        schema = json.loads(archive.read(SCHEMA))
    nodes = list(_nodes(schema))
    same: dict[Any, list[dict[str, Any]]] = {}
    for node in nodes:
        same.setdefault(node.get("__id__"), []).append(node)
    if _weight(schema, same, {}) > len(nodes):
        raise ValueError("its objects refer to each other again and again")
    return schema


def _refuse_bomb(data: bytes, size: int, freely: int) -> None:
    """Raise ValueError if a file unpacks to a size that no model of its size has."""
    if size > max(freely, RATIO * len(data)):
        raise ValueError(f"its {len(data):,} bytes would unpack to {size:,}")


def _size(archive: zipfile.ZipFile) -> int:
    return sum(entry.file_size for entry in archive.infolist())


def _inner_size(archive: zipfile.ZipFile) -> int:
    """Return to how many bytes the archives in an archive unpack: sparse matrices are such."""
    size = 0
    for entry in archive.infolist():
        with archive.open(entry) as member:
            packed = member.read(2) == b"PK"
        if packed:
            with zipfile.ZipFile(io.BytesIO(archive.read(entry))) as inner:
                size += _size(inner)
    return size


def _nodes(node: Any) -> Iterator[dict[str, Any]]:
    """Yield every object of a schema."""
    if isinstance(node, dict):
        yield node
        node = list(node.values())
    if isinstance(node, list):
        for value in node:
            yield from _nodes(value)


def _weight(node: Any, same: dict[Any, list[dict[str, Any]]], known: dict[Any, int]) -> int:
    """Return how many objects skops would visit below a node, itself included.

    An object that comes again, by its number, is visited again with all that it holds. In a file of
    `save` it is also written out again. One that is written once but holds the next one twice, and
    so on thirty deep, would be visited for years.
    """
    if isinstance(node, list):
        return sum(_weight(value, same, known) for value in node)
    if not isinstance(node, dict):
        return 0
    number = node.get("__id__")
    if number is None:
        return 1 + sum(_weight(value, same, known) for value in node.values())
    if number not in known:
        known[number] = 1  # a circle is not followed twice
        below = (_weight(list(twin.values()), same, known) for twin in same[number])
        known[number] = 1 + max(below)
    return known[number]


def _canonical(dumped: bytes, origin: MadeFrom | None) -> bytes:
    """Return a dump whose objects are numbered, and arrays named, in the order of the schema."""
    source = zipfile.ZipFile(io.BytesIO(dumped))
    members = {name: source.read(name) for name in source.namelist() if name != SCHEMA}
    schema = json.loads(source.read(SCHEMA))
    numbers: dict[Any, int] = {}
    files: dict[str, str] = {}

    def renumber(node: Any) -> None:
        if isinstance(node, list):
            for item in node:
                renumber(item)
        elif isinstance(node, dict):
            if "__id__" in node:
                # Whether two equal plain values are one object is chance, so each is its own.
                old = object() if node.get("is_json") else node["__id__"]
                node["__id__"] = numbers.setdefault(old, len(numbers) + 1)
            if node.get("file") in members:
                new = f"{len(files) + 1:06d}{Path(node['file']).suffix}"
                node["file"] = files.setdefault(node["file"], new)
            for name, value in node.items():
                _level(name, value, members)
                renumber(value)

    renumber(schema)
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w") as archive:
        for old, new in sorted(files.items(), key=lambda pair: pair[1]):
            archive.writestr(_entry(new), members[old])
        archive.writestr(_entry(SCHEMA), json.dumps(schema))
        if origin is not None:
            archive.writestr(_entry(ORIGIN), json.dumps(asdict(origin)))
    return target.getvalue()


def _level(name: str, value: Any, members: dict[str, bytes]) -> None:
    """Put a fixed value for an attribute that differs between equal models."""
    if not isinstance(value, dict):
        return
    if name in CHANCE and value.get("is_json"):
        value["content"] = CHANCE[name]
    if name in TIMES and value.get("file") in members:
        import numpy as np

        times = np.load(io.BytesIO(members[value["file"]]), allow_pickle=False)
        none = io.BytesIO()
        np.save(none, np.zeros_like(times), allow_pickle=False)
        members[value["file"]] = none.getvalue()


def _forget_the_run(model: Any) -> None:
    """Blank what CatBoost notes in a model's metadata: when it was fitted, and a random number."""
    for part in _parts(model):
        if hasattr(part, "get_metadata") and type(part).__module__.startswith("catboost."):
            metadata = part.get_metadata()
            metadata["train_finish_time"] = ""
            metadata["model_guid"] = ""


def _parts(model: Any) -> Iterator[Any]:
    """Yield a fitted estimator and those that it holds."""
    if isinstance(model, list | tuple):
        held = list(model)
    elif isinstance(model, dict):
        held = list(model.values())
    elif hasattr(model, "get_params"):
        yield model
        held = list(vars(model).values())
    else:
        held = []
    for value in held:
        yield from _parts(value)


def _entry(name: str) -> zipfile.ZipInfo:
    entry = zipfile.ZipInfo(name, date_time=(1980, 1, 1, 0, 0, 0))
    entry.compress_type = zipfile.ZIP_DEFLATED
    entry.create_system = 3  # Unix, wherever it is written
    return entry
