"""Which model is here: the one of dvc.lock, and the release that it is."""

from dataclasses import replace

from esteira.line import answers
from esteira.line.answers import Origin
from esteira.line.errors import UserError
from esteira.line.files import md5_of
from esteira.repository import git, releases, snapshot
from esteira.repository.releases import MODEL


def origin_of_model() -> Origin:
    """Say which model is here, by its release where it has one.

    Raises UserError where dvc.lock names none, where the file is another one, and where it was
    trained by another schema.yaml than the one here.
    """
    locked = snapshot.locked_outputs(None).get(MODEL)
    if locked is None:
        raise UserError(f"dvc.lock names no {MODEL}: run `uv run dvc repro` first.")
    if md5_of(MODEL) != locked.md5:
        raise UserError(
            f"{MODEL} is not the one that dvc.lock names: run `uv run dvc checkout`, or"
            " `uv run dvc repro`."
        )
    origin = answers.origin_of(MODEL)
    released = releases.of_model(locked.md5) if git.is_repository() else None
    return replace(origin, version=released.tag) if released else origin
