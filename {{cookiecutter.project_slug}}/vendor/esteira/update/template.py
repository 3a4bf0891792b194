"""The template at a version: fetched, read, and rendered with a project's answers."""

import json
import os
import re
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

from esteira.line.errors import UserError
from esteira.line.files import read_json
from esteira.repository import git
from esteira.update.record import RECORD, Record, release

HOSTS = {"gh": "https://github.com", "gl": "https://gitlab.com", "bb": "https://bitbucket.org"}
COOKIECUTTER = "cookiecutter>=2.6"
HEADING = re.compile(r"^## (\d+(?:\.\d+)+)", re.MULTILINE)  # of a release in CHANGELOG.md


@dataclass(frozen=True)
class Template:
    """A template in a folder of its own."""

    folder: Path
    version: str
    address: str  # where it came from, if others can reach that

    @property
    def questions(self) -> dict[str, str]:
        """Its questions, with their answers unless told."""
        asked = read_json(self.folder / "cookiecutter.json")
        return {
            name: str(answer[0] if isinstance(answer, list) else answer)
            for name, answer in asked.items()
            if not name.startswith("_")
        }

    def news(self, since: str) -> str:
        """Return what its changelog says of the versions after `since`; "" for nothing."""
        path = self.folder / "CHANGELOG.md"
        if not path.is_file():
            return ""
        text = path.read_text(encoding="utf-8")
        parts = HEADING.split(text)[1:]
        sections = zip(parts[::2], parts[1::2], strict=True)
        wanted = [
            f"## {version}{body.rstrip()}"
            for version, body in sections
            if release(since) < release(version) <= release(self.version)
        ]
        return "\n\n".join(wanted)


def fetch(source: str, to: str | None, folder: Path) -> Template:
    """Bring the template into `folder`, at version `to`, or else at the newest that has a tag.

    A folder is taken as it is committed, or as it stands where Git does not keep it. Raises
    UserError where it cannot be had, or has no such version.
    """
    here = Path(source).expanduser()
    out = folder / "template"
    if here.is_dir() and not (here / ".git").exists():
        if to is not None:
            raise UserError(f"{source} is not kept by Git, so it has no version {to}.")
        shutil.copytree(here, out)
    else:
        address = str(here.resolve()) if here.is_dir() else _address(source)
        git.run("clone", "--quiet", "--no-hardlinks", "--", address, str(out))
        _check_out(out, source, to)
    asked = out / "cookiecutter.json"
    version = read_json(asked).get("__version") if asked.is_file() else None
    if not isinstance(version, str):
        raise UserError(f"{source} is no template of Esteira's that can update a project.")
    return Template(out, version, "" if here.is_dir() else without_credentials(source))


def without_credentials(address: str) -> str:
    """Return an address without the name and the password that may stand before the server's."""
    return re.sub(r"^(\w+://)[^/@]*@", r"\1", address)


def _address(source: str) -> str:
    """Write out Cookiecutter's short names of hosts."""
    host, colon, path = source.partition(":")
    return f"{HOSTS[host]}/{path}.git" if colon and host in HOSTS else source


def _check_out(folder: Path, source: str, to: str | None) -> None:
    tags = git.run("-C", str(folder), "tag", "--list", "v*").split()
    versions = {tag.removeprefix("v"): tag for tag in tags if re.fullmatch(r"v\d+(\.\d+)+", tag)}
    if to is None and not versions:
        return
    wanted = to.removeprefix("v") if to else max(versions, key=release)
    if wanted not in versions:
        newest = ", ".join(sorted(versions, key=release)[-5:]) or "none"
        raise UserError(f"{source} has no version {wanted}; the newest are: {newest}.")
    git.run("-C", str(folder), "checkout", "--quiet", "--detach", versions[wanted])


def render(template: Template, record: Record, folder: Path) -> Path:
    """Render the template with the recorded answers, and return the project's folder.

    Raises UserError where it refuses them, or Cookiecutter cannot be run.
    """
    out = folder / "rendered"
    config = folder / "answers.yaml"  # JSON is YAML
    config.write_text(
        json.dumps(
            {
                "default_context": record.answers,
                "cookiecutters_dir": str(folder / "cookiecutters"),
                "replay_dir": str(folder / "replay"),
            }
        ),
        encoding="utf-8",
    )
    words = ("--no-input", "--config-file", str(config), "--output-dir", str(out))
    done = subprocess.run(
        [*_cookiecutter(), *words, str(template.folder)],
        capture_output=True,
        text=True,
        encoding="utf-8",
        env=os.environ | {"ESTEIRA_RENDER_ONLY": "1"},
    )
    if done.returncode:
        refused = [line for line in done.stderr.splitlines() if line.startswith("Not generated")]
        why = " ".join(refused) or " ".join(done.stderr.split())[-300:]
        raise UserError(f"the template cannot be rendered with the answers in {RECORD}: {why}")
    (made,) = out.iterdir()
    _say_where_from(made / RECORD, template.address or record.template)
    return made


def _say_where_from(path: Path, address: str) -> None:
    """Write the template's address into a record that was rendered from a clone of it."""
    text = path.read_text(encoding="utf-8")
    line = f"template: {json.dumps(address)}"
    path.write_text(re.sub(r"^template: .*$", lambda _: line, text, flags=re.MULTILINE), "utf-8")


def _cookiecutter() -> list[str]:
    """Return the command that is Cookiecutter: what is installed, or what uv brings."""
    if program := shutil.which("cookiecutter"):
        return [program]
    if program := shutil.which("uv"):
        return [program, "tool", "run", "--from", COOKIECUTTER, "cookiecutter"]
    raise UserError("Cookiecutter renders the template: install it, or uv, which brings it.")
