"""Take a batch into the training table: after `retrain`, so that the model learns what moved.

The batch's rows are appended to the raw table, in place of rows with the same identifier, and the
settings follow: the whole table is trained on or held out, and the drift check's reference is what
was learnt last. All of it changes, or nothing; Git and DVC undo it.
"""

import bz2
import gzip
import io
import json
import lzma
import re
import shutil
import tempfile
import zipfile
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from ruamel.yaml import YAML

from esteira.drift.verdicts import REWORK
from esteira.gate import DRIFT_FILE, DRIFT_METRIC
from esteira.line import holdout, table
from esteira.line import schema as schemas
from esteira.line.errors import UserError
from esteira.line.files import (
    md5_of,
    read_json,
    read_yaml,
    replacing,
    significant,
    transaction,
    write_text,
)
from esteira.line.params import read as read_settings
from esteira.line.schema import Column, FileFormat, Schema
from esteira.line.validate import Checking
from esteira.repository import dvc, git

RAW = Path("data/raw")
SAMPLE = "sample-"  # how `ingest.source` names a table of scikit-learn's
INGESTED = "data/ingested.parquet"
LEAST_ROWS = 80  # of a batch: the rows of it that are learnt must make a reference of 50
PACKERS: dict[str, Callable[[bytes], bytes]] = {
    ".gz": lambda data: gzip.compress(data, mtime=0),
    ".bz2": bz2.compress,
    ".xz": lzma.compress,
}


@dataclass(frozen=True)
class Table:
    """The raw table as it is before a batch is taken in."""

    path: Path  # where it will be
    before: Path  # where it is read
    rows: pd.DataFrame


@dataclass(frozen=True)
class Absorbed:
    """What was done, in numbers."""

    batch: Path
    raw: Path
    appended: int
    replaced: int
    rows: int  # of the table now
    settings: tuple[str, ...]  # as `section.name: value`
    changed: tuple[str, ...]  # files that Git has another version of
    made: tuple[str, ...]  # files that are new to Git
    notes: tuple[str, ...]

    def says(self) -> str:
        """Say what was done, what is next, and how to undo it."""
        taken = f"{self.appended} rows of {self.batch} were taken into {self.raw}"
        undo = [f"git checkout -- {' '.join(self.changed)}"]
        if self.made:
            undo.append(f"git clean -f -- {' '.join(self.made)}")
        lines = [
            f"{taken}, in place of {self.replaced} with the same identifier: {self.rows} rows now.",
            f"params.yaml: {'; '.join(self.settings)}.",
            *self.notes,
            "Next: uv run dvc repro; then commit, and uv run dvc push.",
            f"Undo: {' && '.join([*undo, 'uv run dvc checkout'])}",
        ]
        return "\n".join(lines)


def absorb(path: str | Path) -> Absorbed:
    """Take the batch at `path` into the training table, and set the line to learn it.

    Raises UserError for a batch that breaks a rule of schema.yaml, is too small, or is in the table
    already, and for a table that is not the one that DVC keeps; nothing is changed then.
    """
    path, what = Path(path), schemas.load()
    batch = _read_batch(path, what)
    source = str(read_yaml("params.yaml").get("ingest", {}).get("source"))
    old = _table(source, what)
    new = _as_written_in(old.rows, batch, what)
    _refuse_known(old.rows, new, path, what)
    kept = old.rows[~_replaced(old.rows, new, path, what)]
    rows = pd.concat([kept, new], ignore_index=True)
    copy = _place(path)
    warned = _warning(path)
    settings = _settings(len(new), len(old.rows), len(rows), copy, old.path)
    pointers = [Path(f"{file}.dvc") for file in (old.path, copy)]
    edited = [Path("params.yaml"), Path("dvc.yaml")]
    with transaction([old.path, copy, *pointers, *edited, RAW / ".gitignore"], "absorb"):
        _write(rows, old, what)
        if not copy.exists():
            with replacing(copy) as temporary:
                shutil.copyfile(path, temporary)
        _edit_settings(settings)
        _edit_line(old.path)
        dvc.add([old.path, copy])
    tracked = set(git.tracked())
    files = tuple(file.as_posix() for file in (*edited, *pointers))
    return Absorbed(
        batch=path,
        raw=old.path,
        appended=len(new),
        replaced=len(old.rows) - len(kept),
        rows=len(rows),
        settings=tuple(f"{section}.{name}: {v}" for (section, name), v in settings.items()),
        changed=tuple(file for file in files if file in tracked),
        made=tuple(file for file in files if file not in tracked),
        notes=tuple(note for note in (warned, _late(old.rows, new, what)) if note),
    )


def _place(path: Path) -> Path:
    """Return where the batch is kept: below data/raw, where it is copied to. Raises UserError.

    What `dvc import-url` brings is another batch the next time, so it is copied as well.
    """
    pointer = Path(f"{path}.dvc")
    imported = pointer.is_file() and bool(read_yaml(pointer).get("deps"))
    if path.resolve().is_relative_to(RAW.resolve()) and not imported:
        return path.resolve().relative_to(Path.cwd())
    name = re.sub(r"[^\w.-]+", "_", path.name)  # a name that YAML and a shell take as it is
    copy = RAW / (f"{md5_of(path)[:8]}-{name}" if imported else name)
    if copy.exists() and copy.read_bytes() != path.read_bytes():
        raise UserError(f"{copy} is another file than {path}: rename the batch.")
    return copy


def _warning(path: Path) -> str:
    """Say so where the line's drift check said of this very batch that its concept drifted."""
    checked = read_yaml("params.yaml").get("drift_check", {}).get("current")
    if not checked or Path(checked).resolve() != path.resolve() or not Path(DRIFT_FILE).is_file():
        return ""
    if read_json(DRIFT_FILE).get(DRIFT_METRIC) != REWORK.code:
        return ""
    return f"The drift check said `{REWORK.action}` of this batch. {REWORK.advice}"


def _late(old: pd.DataFrame, new: pd.DataFrame, what: Schema) -> str:
    """Say so where a batch is not newer than the table, and the newest rows are not all its own."""
    name = what.time
    if name is None:
        return ""
    before, now = (table.cast(rows[name], what.columns[name], what.file) for rows in (old, new))
    if now.min() > before.max():
        return ""
    return (
        f"Note: not all of its rows are newer in `{name}` than the table, so the drift check's"
        " reference, the newest rows, is not quite this batch."
    )


def _read_batch(path: Path, what: Schema) -> pd.DataFrame:
    """Read a batch that keeps every rule. Raises UserError."""
    if path.resolve() == Path("data/current.parquet").resolve():
        raise UserError(
            f"{path} is the newest part of the training table: set `split.current: 0` in"
            " params.yaml, and it is trained on."
        )
    raw = table.read_batch(path, what).dropna(how="all").reset_index(drop=True)
    if what.target not in raw:
        raise UserError(f"{path} has no column `{what.target}`: without labels nothing is learnt.")
    checking = Checking(what)
    checking.check(raw)
    broken = checking.violations()
    if len(broken):
        first = [f"`{f.column}`: {f.rule} ({f.rows} rows)" for f in broken.head(3).itertuples()]
        more = f" and {len(broken) - 3} more" if len(broken) > 3 else ""
        raise UserError(
            f"{path} breaks rules of schema.yaml: {'; '.join(first)}{more}. Correct the batch, or"
            f" allow there what is rightly new; `uv run esteira validate {path}` lists all."
        )
    if len(raw) < LEAST_ROWS:
        raise UserError(
            f"{path} has {len(raw)} rows; the drift check needs {LEAST_ROWS} that were learnt"
            " together: wait for more."
        )
    return raw


def _table(source: str, what: Schema) -> Table:
    """Read the raw table. Raises UserError where it is not what DVC keeps."""
    if source.startswith(SAMPLE):
        return Table(RAW / f"{source}.parquet", Path(INGESTED), table.read(INGESTED))
    raw, pointer = Path(source), Path(f"{source}.dvc")
    rows = table.read_raw(raw, what.file)
    if not pointer.is_file():
        raise UserError(f"DVC does not keep {raw}: run `uv run dvc add {raw}` first.")
    outs = read_yaml(pointer).get("outs") or [{}]
    if not dvc.is_whole(raw, str(outs[0].get("md5"))):
        raise UserError(
            f"{raw} is not what {pointer} names: run `uv run dvc add {raw}` to keep it as it is, or"
            f" `uv run dvc checkout {raw}`."
        )
    return Table(raw, raw, rows)


def _as_written_in(old: pd.DataFrame, batch: pd.DataFrame, what: Schema) -> pd.DataFrame:
    """Give the batch the table's columns, and its cells the form that they have there."""
    columns = {}
    for name in old:
        column = what.columns.get(str(name))
        if name not in batch or column is None:
            columns[name] = pd.Series(None, index=batch.index, dtype=old[name].dtype)
        else:
            columns[name] = _convert(batch[name], old[name].dtype, column, what.file)
    return pd.DataFrame(columns, index=batch.index)


def _convert(values: pd.Series, wanted: Any, column: Column, form: FileFormat) -> pd.Series:
    """Write text where the table has text, and typed cells where it has those."""
    textual = pd.api.types.is_string_dtype(wanted) or pd.api.types.is_object_dtype(wanted)
    if pd.api.types.is_string_dtype(values) or pd.api.types.is_object_dtype(values):
        if textual:
            return values
        typed = table.cast(values, column, form)
        with suppress(ValueError, TypeError):  # else the column becomes wider, as where gaps come
            return typed.astype(wanted)
        return typed
    if not textual:
        return values
    if pd.api.types.is_datetime64_any_dtype(values):
        return values.dt.strftime(column.format or "%Y-%m-%d %H:%M:%S.%f")
    return values.map(lambda cell: _number(cell, form), na_action="ignore").astype("str")


def _number(cell: Any, form: FileFormat) -> str:
    """Write a number as the file does: 3 for 3.0, and with its decimal mark."""
    if isinstance(cell, float | np.floating) and cell.is_integer():
        cell = int(cell)
    return str(cell).replace(".", form.decimal)


def _identifier(what: Schema) -> str | None:
    return next(iter(what.named("identifier")), None)


def _refuse_known(old: pd.DataFrame, new: pd.DataFrame, path: Path, what: Schema) -> None:
    """Raise UserError where the table has every row of the batch."""
    before, now = (holdout.keys(table.parse(x, what)[0], list(what.columns)) for x in (old, new))
    if np.isin(now, before).all():
        raise UserError(
            f"every row of {path} is in the table already: there is nothing to take in."
        )


def _replaced(old: pd.DataFrame, new: pd.DataFrame, path: Path, what: Schema) -> np.ndarray:
    """Say which old rows the batch replaces, as bool of shape (rows,). Raises UserError.

    An identifier that names several rows of the table names none alone: nothing is replaced.
    """
    name = _identifier(what)
    if name is None or name not in old or name not in new:
        return np.zeros(len(old), dtype=bool)
    before, now = (table.cast(rows[name], what.columns[name], what.file) for rows in (old, new))
    if before.dropna().duplicated().any():
        return np.zeros(len(old), dtype=bool)
    twice = now[now.duplicated() & now.notna()]
    if len(twice):
        raise UserError(
            f"{path} has {twice.iloc[0]!r} more than once in `{name}`, which names one row: leave"
            " the older ones out."
        )
    return (before.isin(now) & before.notna()).to_numpy()


def _settings(
    batch: int, before: int, rows: int, current: Path, source: Path
) -> dict[tuple[str, str], Any]:
    """Decide the settings, by section and name, from the rows of the batch and of both tables.

    Where the newest rows are held out, and the batch is the newest, the holdout shrinks to the same
    share of the batch, so that the rest of it is learnt.
    """
    split = read_settings("split", holdout.Settings)
    known = read_yaml("params.yaml").get("evaluate", {}).get("reference", "all")
    changed: dict[tuple[str, str], Any] = {
        ("ingest", "source"): source.as_posix(),
        ("split", "current"): 0,
        ("evaluate", "reference"): batch,
        ("drift_check", "current"): current.as_posix(),
    }
    if "predict" in read_yaml("params.yaml"):  # projects of an earlier version have no such stage
        changed["predict", "batch"] = current.as_posix()
    if not split.shuffle and split.group is None:
        last = known if isinstance(known, int) else before
        share = min(0.5, split.holdout * before / last)  # of what was learnt last
        changed["split", "holdout"] = significant(share * batch / rows, 3)
    return changed


def _yaml() -> YAML:
    yaml = YAML()
    yaml.preserve_quotes = True
    yaml.width = 1 << 20
    yaml.indent(mapping=2, sequence=4, offset=2)
    return yaml


def _rewrite(path: str, change: Callable[[Any], None]) -> None:
    """Change a YAML file, and keep its comments."""
    content = _yaml().load(Path(path).read_text(encoding="utf-8"))
    change(content)
    text = io.StringIO()
    _yaml().dump(content, text)
    write_text(path, text.getvalue())


def _edit_settings(settings: dict[tuple[str, str], Any]) -> None:
    def change(params: Any) -> None:
        for (section, name), value in settings.items():
            params[section][name] = value

    _rewrite("params.yaml", change)


def _edit_line(raw: Path) -> None:
    """Let `ingest` depend on the raw file, which it does not where it made a sample."""
    deps = read_yaml("dvc.yaml")["stages"]["ingest"]["deps"]
    if raw.as_posix() in deps:
        return
    _rewrite("dvc.yaml", lambda line: line["stages"]["ingest"]["deps"].insert(0, raw.as_posix()))


def _write(rows: pd.DataFrame, old: Table, what: Schema) -> None:
    """Write the raw table in its own form. Raises UserError where it would be read otherwise."""
    with tempfile.TemporaryDirectory(prefix="esteira-absorb-") as folder:
        trial = Path(folder) / old.path.name  # the name tells how it is read
        try:
            trial.write_bytes(_bytes(rows, old.path, what.file))
            back = table.read_raw(trial, what.file)
        except (UnicodeEncodeError, UserError) as error:
            raise UserError(f"{old.path} cannot hold the batch: {error}") from None
        sides = (table.parse(side, what)[0] for side in (rows, back))
        before, after = (holdout.keys(side, list(what.columns)) for side in sides)
        if len(before) != len(after) or (before != after).any():
            raise UserError(
                f"{old.path} with the batch would not be read back as it is: append the rows by"
                f" hand, then `uv run dvc add {old.path}`."
            )
        with replacing(old.path) as temporary:
            shutil.copyfile(trial, temporary)


def _bytes(rows: pd.DataFrame, path: Path, form: FileFormat) -> bytes:
    """Return a table as its file holds it: Parquet, JSON or CSV, packed as its name says."""
    kind = table.kind(path)
    if kind == "parquet":
        return rows.to_parquet(index=False)
    text = _json(rows, path, form) if kind == "jsonl" else _csv(rows, form)
    return _packed(text.encode(form.encoding), path)


def _csv(rows: pd.DataFrame, form: FileFormat) -> str:
    gap = "" if "" in form.missing or not form.missing else form.missing[0]
    return rows.to_csv(
        index=False,
        sep=form.delimiter,
        header=form.header,
        quotechar=form.quote,
        na_rep=gap,
        lineterminator="\n",
    )


def _json(rows: pd.DataFrame, path: Path, form: FileFormat) -> str:
    """Write one object a line, or the list of objects that the file is now."""
    cells = rows.astype(object)
    cells[rows.isna()] = None
    records = cells.to_dict("records")
    lines = [json.dumps(record, ensure_ascii=False, default=str) for record in records]
    if path.exists():
        with table.open_bytes(path) as file:
            if file.read(64).decode(form.encoding, "ignore").lstrip().startswith("["):
                return "[" + ",\n".join(lines) + "]\n"
    return "\n".join(lines) + "\n"


def _packed(data: bytes, path: Path) -> bytes:
    suffix = path.suffix.lower()
    if suffix == ".zst":
        import pyarrow as pa

        return pa.compress(data, codec="zstd", asbytes=True)
    if suffix == ".zip":
        packed = io.BytesIO()
        with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr(zipfile.ZipInfo(path.stem), data, zipfile.ZIP_DEFLATED)
        return packed.getvalue()
    return PACKERS.get(suffix, bytes)(data)
