"""Models on disk, in the skops format: loading one never runs code, and one model has one file.

A skops file is a zip of `schema.json` and arrays that are named after memory addresses and dated
now. `save` numbers the objects in the order of the schema instead, so that equal models give
equal bytes.
"""

import io
import json
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from esteira.line.errors import UserError
from esteira.line.files import replacing

# scikit-learn's and numpy's own types that skops leaves to its users to allow.
ALLOWED = {
    "numpy.dtype",
    "sklearn._loss._loss.CyHalfBinomialLoss",
    "sklearn._loss._loss.CyHalfMultinomialLoss",
    "sklearn._loss._loss.CyHalfSquaredError",
    "sklearn.compose._column_transformer.make_column_selector",
    "sklearn.ensemble._hist_gradient_boosting.predictor.TreePredictor",
    "sklearn.metrics._dist_metrics.EuclideanDistance64",
    "sklearn.metrics._dist_metrics.ManhattanDistance64",
    "sklearn.metrics._dist_metrics.MinkowskiDistance64",
    "sklearn.neighbors._kd_tree.KDTree",
    "sklearn.neighbors._ball_tree.BallTree",
    "sklearn.tree._tree.Tree",
}


def _canonical(dumped: bytes) -> bytes:
    source = zipfile.ZipFile(io.BytesIO(dumped))
    numbers, files = {}, {}

    def renumber(node: Any) -> None:
        if isinstance(node, list):
            for item in node:
                renumber(item)
        elif isinstance(node, dict):
            if "__id__" in node:
                # Whether two equal plain values are one object is chance, so each is its own.
                old = object() if node.get("is_json") else node["__id__"]
                node["__id__"] = numbers.setdefault(old, len(numbers) + 1)
            if node.get("file") in names:
                new = f"{len(files) + 1:06d}{Path(node['file']).suffix}"
                node["file"] = files.setdefault(node["file"], new)
            if "n_threads" in node:  # of histogram boosting's binning: says what machine fitted it
                node["n_threads"]["content"] = "1"
            for value in node.values():
                renumber(value)

    names = set(source.namelist()) - {"schema.json"}
    schema = json.loads(source.read("schema.json"))
    renumber(schema)
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w") as archive:
        for old, new in sorted(files.items(), key=lambda pair: pair[1]):
            archive.writestr(_entry(new), source.read(old))
        archive.writestr(_entry("schema.json"), json.dumps(schema))
    return target.getvalue()


def _entry(name: str) -> zipfile.ZipInfo:
    entry = zipfile.ZipInfo(name, date_time=(1980, 1, 1, 0, 0, 0))
    entry.compress_type = zipfile.ZIP_DEFLATED
    entry.create_system = 3  # Unix, wherever it is written
    return entry


def save(model: Any, path: str | Path) -> None:
    """Write a fitted scikit-learn estimator; equal models give equal bytes."""
    from skops.io import dumps

    data = _canonical(dumps(model))
    with replacing(path) as temporary:
        temporary.write_bytes(data)


def load(path: str | Path, functions: tuple[Callable, ...] = ()) -> Any:
    """Read a fitted estimator that `save` wrote.

    `functions` are the project's own functions that the model may call, such as
    `features.engineer`. Raises UserError for a file that is absent, broken, or holds any other
    type than scikit-learn's and numpy's own (https://skops.readthedocs.io/en/stable/persistence.html).
    """
    from skops.io import get_untrusted_types
    from skops.io import load as load_file

    if not Path(path).is_file():
        raise UserError(f"{path} does not exist: run `uv run dvc repro` (or `uv run dvc pull`).")
    allowed = ALLOWED | {f"{f.__module__}.{f.__qualname__}" for f in functions}
    try:
        unknown = set(get_untrusted_types(file=path))
        if strangers := sorted(unknown - allowed):
            raise UserError(
                f"{path} is refused: it holds {', '.join(strangers)}, which is not scikit-learn's "
                "own; use only models that this project's line has trained."
            )
        return load_file(path, trusted=sorted(unknown))
    except (zipfile.BadZipFile, KeyError, ValueError, TypeError, AttributeError) as error:
        raise UserError(f"{path} is not a model of this line: {error}.") from None
