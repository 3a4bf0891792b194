"""Check the batch that is watched against the model in use, with as little fetched as can be.

That is the batch and the profile; the model only where the batch has labels, as the concept is then
judged by its answers.
"""

import shutil
import tempfile
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from esteira.drift import of_line, profile_file, report
from esteira.drift.check import Checked as Found
from esteira.drift.say import remarks
from esteira.drift.verdicts import UNUSABLE
from esteira.line import schema as schemas
from esteira.line.errors import UserError
from esteira.line.files import md5_of, read_yaml, replacing
from esteira.repository import dvc, git, own_code, releases, snapshot
from esteira.repository.releases import MODEL
from esteira.watch import facts, settings

PROFILE, SCHEMA = "models/reference.json", "schema.yaml"
FACTS = "watch.json"
PRODUCTION = "prod"  # the stage whose version is watched for, where there is one


@dataclass(frozen=True)
class InUse:
    """The model that batches are checked for."""

    name: str  # release or commit
    commit: str


def in_use() -> InUse:
    """Return the version that is in production, or else what is committed here. Raises UserError.

    A model that was merged and is not released answers nobody yet.
    """
    head = git.commit("HEAD")
    if head is None:
        raise UserError("nothing is committed here yet: commit the line first.")
    released = releases.stages(releases.versions()).get(PRODUCTION)
    if released is not None:
        return InUse(released.tag, released.commit)
    return InUse(f"commit {head[:10]}", head)


def bring_batch() -> Path:
    """Bring the batch that is watched, the newest where it is imported, and return its path.

    Raises UserError where no such file can be had.
    """
    path = Path(settings.load().batch or _of_the_drift_check())
    pointer = Path(f"{path}.dvc")
    if pointer.is_file() and read_yaml(pointer).get("deps"):  # dvc import-url
        dvc.update_import(pointer)
        return path
    if path.is_file():
        return path
    known = snapshot.raw_files(None) | snapshot.locked_outputs(None)
    if path.as_posix() not in known:
        raise UserError(
            f"{path} is not here, and DVC does not keep it: correct `batch:` in watch.yaml."
        )
    _place(known[path.as_posix()].md5, path)
    return path


def _of_the_drift_check() -> str:
    section = read_yaml("params.yaml").get("drift_check") or {}
    return str(section.get("current", "data/current.parquet"))


def _place(md5: str, path: Path) -> None:
    """Put a file that DVC keeps to where it belongs."""
    source = dvc.fetch(md5, str(path))
    with replacing(path) as temporary:
        shutil.copyfile(source, temporary)


def check(out: Path) -> facts.Checked:
    """Check the batch; write `watch.json` and the drift check's report into the folder `out`.

    A batch that is there and cannot be read is `unusable`. Raises UserError where batch, profile or
    model cannot be had: that is no verdict.
    """
    model = in_use()
    path = bring_batch()
    limits = snapshot.drift_limits(model.commit)
    with tempfile.TemporaryDirectory(prefix="esteira-watch-") as folder:
        what = _schema(model, Path(folder))
        reference = profile_file.read(_kept(model, PROFILE))
        with ExitStack() as opened:
            try:
                batch = opened.enter_context(of_line.reading(path.as_posix(), what))
            except UserError as error:
                told = _unreadable(error, model, path)
                facts.write(out / FACTS, told)
                return told
            labelled = batch.is_labelled(what.target)
            load = (lambda: _load(model)) if labelled else None
            found = of_line.check_batch(batch, what, reference, limits, load)
    report.write(found, out, f"Drift check of {path.name} for {model.name}")
    checked = facts.Batch(
        path=path.as_posix(), md5=md5_of(path), rows=batch.count, labelled=labelled
    )
    told = _facts(found, model, checked)
    facts.write(out / FACTS, told)
    return told


def _schema(model: InUse, folder: Path) -> schemas.Schema:
    """Read the schema that the model was trained by."""
    text = git.text_at(model.commit, SCHEMA)
    if text is None:
        raise UserError(f"{model.name} has no {SCHEMA}, so no batch can be read for it.")
    (folder / SCHEMA).write_text(text, encoding="utf-8")
    return schemas.load(folder / SCHEMA)


def _kept(model: InUse, path: str) -> Path:
    """Return where the cache has an output of the model's line, fetched if need be."""
    return dvc.fetch(_stored(model, path).md5, f"{path} of {model.name}")


def _stored(model: InUse, path: str) -> snapshot.Stored:
    stored = snapshot.locked_outputs(model.commit).get(path)
    if stored is None:
        raise UserError(f"dvc.lock of {model.name} names no {path}: run `uv run dvc repro`.")
    return stored


def _load(model: InUse) -> Any:
    return own_code.module("model").load(_kept(model, MODEL))


def _unreadable(error: UserError, model: InUse, path: Path) -> facts.Checked:
    """Say that a batch is another table, or damaged."""
    return facts.Checked(
        action=UNUSABLE.action,
        batch=facts.Batch(path=path.as_posix(), md5=md5_of(path), rows=0, labelled=False),
        model=model.name,
        commit=model.commit,
        profile=_stored(model, PROFILE).md5,
        time=_now(),
        advice="Mend it where it is made.",
        reasons=[_cut(str(error))],
        error="Model error: not assessable, as the batch cannot be read.",
        notes=[],
        columns=[],
    )


def _now() -> datetime:
    return datetime.now(UTC).replace(microsecond=0)


def _facts(found: Found, model: InUse, batch: facts.Batch) -> facts.Checked:
    told = found.told
    columns = [
        facts.Column(name=_cut(column.measured.name), says=_cut(remarks(column)))
        for column in found.judged.drifted[: facts.MOST_COLUMNS]
    ]
    return facts.Checked(
        action=found.verdict.action,
        batch=batch,
        model=model.name,
        commit=model.commit,
        profile=_stored(model, PROFILE).md5,
        time=_now(),
        advice=_cut(told.advice),
        reasons=[_cut(reason) for reason in told.reasons[: facts.MOST_TEXTS]],
        error=_cut(told.error),
        notes=[_cut(note) for note in told.notes[: facts.MOST_TEXTS]],
        columns=columns,
    )


def _cut(text: str) -> str:
    return text if len(text) <= facts.LONGEST else text[: facts.LONGEST - 1] + "…"
