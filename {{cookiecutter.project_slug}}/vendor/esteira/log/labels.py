"""Labels that come later: joined to the answered rows by identifier, or by request."""

from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from esteira.line import schema as schemas
from esteira.line import table
from esteira.line.errors import UserError
from esteira.line.schema import Schema
from esteira.log.answered import read_answers
from esteira.log.records import BY_REQUEST, LABELS, Kept, keys, require_log


@dataclass(frozen=True)
class Labelled:
    """What was taken in, in numbers."""

    labels: int  # of the file
    new: int  # that were not known before
    changed: int  # that were others before
    strangers: int  # whose row was never answered

    def says(self) -> str:
        """Say it in a sentence or two."""
        text = f"{self.labels} labels: {self.new} are new, {self.changed} have changed."
        if self.strangers:
            text += f" Of {self.strangers} no answered row is in the log."
        return text


def label(path: str | Path, folder: str | Path) -> Labelled:
    """Take the labels of a table into a log; a label that is known already is replaced.

    The table has the schema's identifiers (or `request`, as the service named it) and the target.
    Raises UserError for a table that cannot be read, lacks one of these, names a row twice with
    different labels, or holds a label that the schema does not allow; nothing is changed then.
    """
    path, folder, what = Path(path), Path(folder), schemas.load()
    require_log(folder)
    given = _read(path, what)
    file = folder / LABELS
    key = [str(name) for name in given if name != what.target]
    known = table.read(file) if file.is_file() else given.head(0)
    if list(known) != list(given):
        columns = ", ".join(map(str, known))
        raise UserError(f"{file} was made by another schema, it has {columns}: move it away.")
    before = known.set_index(key)[what.target]
    after = given.set_index(key)[what.target]
    shared = after.index.intersection(before.index)
    changed = int((before[shared].to_numpy() != after[shared].to_numpy()).sum())
    answered = pd.MultiIndex.from_frame(keys(read_answers(folder), key))
    strangers = int((~pd.MultiIndex.from_frame(given[key]).isin(answered)).sum())
    kept = known[~pd.MultiIndex.from_frame(known[key]).isin(pd.MultiIndex.from_frame(given[key]))]
    table.write(pd.concat([kept, given], ignore_index=True), file)
    return Labelled(len(given), len(after) - len(shared), changed, strangers)


def _read(path: Path, what: Schema) -> pd.DataFrame:
    """Return the labels of a table, their rows named as the log names them."""
    raw = table.read_batch(path, what)
    key = [name for name in what.named("identifier") if name in raw]
    if not key:
        key = [BY_REQUEST] if BY_REQUEST in raw else []
    if not key:
        names = " and ".join(f"`{name}`" for name in what.named("identifier"))
        wanted = f"{names}, or `{BY_REQUEST}`" if names else f"a column `{BY_REQUEST}`"
        raise UserError(f"{path} names no rows: it needs {wanted}, beside `{what.target}`.")
    if what.target not in raw:
        raise UserError(f"{path} has no column `{what.target}`: there is no label in it.")
    raw = raw.dropna(subset=[what.target]).reset_index(drop=True)
    column = what.columns[what.target]
    labels = table.cast(raw[what.target], column, what.file)
    wrong = labels.isna()
    if column.allowed is not None:
        wrong |= ~labels.isin(column.allowed)
    if wrong.any():
        first = raw.loc[wrong, what.target].iloc[0]
        raise UserError(f"{path} has a label {first!r}, which schema.yaml does not allow.")
    rows = _hashed(keys(raw, key), what)
    if rows.isna().any(axis=None):
        raise UserError(f"{path} has labels in rows without {' and '.join(key)}: fill them in.")
    found = rows.assign(**{what.target: labels}).drop_duplicates(ignore_index=True)
    twice = found.duplicated(key)
    if twice.any():
        name = ", ".join(found.loc[twice, key].iloc[0])
        raise UserError(f"{path} gives row {name} two labels: keep one.")
    return found


def _hashed(rows: pd.DataFrame, what: Schema) -> pd.DataFrame:
    """Hash what the log has hashed."""
    kept = Kept(what)
    return rows.assign(
        **{name: rows[name].map(kept.hash).astype("str") for name in rows if name in kept.hashed}
    )
