"""Where other machines find the line: its repository, its remote, an image of its packages.

What is told there is told in pyproject.toml, so that a file is the same whoever exports it.
"""

import re
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from pydantic import Field

from esteira.export.fill import keys
from esteira.line.errors import UserError
from esteira.line.params import Section, parse
from esteira.repository import git, remote, template

WHERE = "pyproject.toml, section `tool.esteira.export`"
LONGEST = 40  # letters of a name: Kubernetes allows 52 to a CronJob, and ours get an ending
KEYS = ["AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_DEFAULT_REGION", "GIT_TOKEN"]


class Settings(Section):
    """Section `[tool.esteira.export]` of pyproject.toml; each has a default but the image."""

    image: str = ""  # what deploy/line.Dockerfile makes, where the cluster finds it
    repository: str = ""  # an address that Git clones; GitHub's unless told
    revision: str = "main"  # branch, tag or commit to run, where none is given at the start
    schedule: str = ""  # of the line, as cron writes it; "" where it is started by hand
    drift_schedule: str = "43 5 * * *"  # of the check of the newest batch
    namespace: str = ""  # "" where the one who sends the file says it
    service_account: str = ""  # which may stand for a role of the cloud
    secret: str = ""  # name of the Secret with credentials; the project's name unless told
    secret_keys: list[str] = (
        KEYS  # of the Secret, for Kubeflow, which takes none that it is not told
    )
    cpu: str = Field("1", pattern=r"^\d+(\.\d+)?m?$")
    memory: str = Field("4Gi", pattern=r"^\d+(\.\d+)?([KMGT]i?)?$")


@dataclass(frozen=True)
class Place:
    """Where a clone of the project is made, and what it is called."""

    name: str  # lower-case letters, digits and hyphens
    repository: str
    revision: str
    folder: str  # the project's, from the root of the repository; "." at it
    settings: Settings


def find(whose: str, *, image: bool = False) -> Place:
    """Return where the line is found by others, as in "the pods of a cluster".

    Raises UserError where `whose` machines could not run it: the remote is a folder of this
    machine, nothing says where the repository is, or, with `image`, which image to run.
    """
    require_shared_remote(whose)
    tables = _pyproject()
    section = tables.get("tool", {}).get("esteira", {}).get("export", {})
    settings = parse(section, Settings, WHERE)
    if image and not settings.image:
        raise UserError(
            "nothing says which image to run: build deploy/line.Dockerfile, push it, and name it, "
            '`image = "…"` below `[tool.esteira.export]` in pyproject.toml.'
        )
    repository = settings.repository or _on_github()
    if urlsplit(repository).password:
        raise UserError(
            f"{WHERE}: `repository` holds a password: put it into the Secret, as GIT_TOKEN."
        )
    return Place(
        name=name_of(str(tables.get("project", {}).get("name", ""))),
        repository=repository,
        revision=settings.revision,
        folder=(git.prefix() if git.is_repository() else "").strip("/") or ".",
        settings=settings,
    )


def require_shared_remote(whose: str) -> None:
    """Raise UserError where stages that run on `whose` machines could hand nothing over."""
    url = remote.default()["url"]
    if "://" not in url:
        raise UserError(
            f"the remote is the folder {url}, which {whose} do not share: name a bucket, "
            "`uv run dvc remote modify storage url s3://bucket/prefix`."
        )


def name() -> str:
    """Return what the project is called, as a part of names and paths. Raises UserError."""
    return name_of(str(_pyproject().get("project", {}).get("name", "")))


def name_of(project: str) -> str:
    """Return a project's name as every tool allows it: lower-case letters, digits, hyphens."""
    (key,) = keys([project]).values()
    return re.sub(r"-+", "-", key.lower())[:LONGEST].rstrip("-")


def _on_github() -> str:
    record = template.recorded()
    owner, slug = (record.answers.get(a) for a in ("owner", "project_slug")) if record else ("", "")
    if not owner or not slug:
        raise UserError(
            'nothing says where the repository is: write `repository = "https://…"` below '
            "`[tool.esteira.export]` in pyproject.toml."
        )
    return f"https://github.com/{owner}/{slug}.git"


def _pyproject() -> dict[str, Any]:
    try:
        return tomllib.loads(Path("pyproject.toml").read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise UserError("pyproject.toml is not here: run this in the project's folder.") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise UserError(f"pyproject.toml is not valid TOML: {error}.") from None
