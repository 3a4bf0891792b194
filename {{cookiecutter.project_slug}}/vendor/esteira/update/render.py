"""Let Cookiecutter write a version of the template, with the answers of the record.

It runs in an environment of its own (`uv tool run`): it is needed some times a year, and its
packages shall not have to agree with the project's.
"""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

from esteira.line.errors import UserError
from esteira.repository import digest
from esteira.repository.template import RECORD, Record
from esteira.update.source import Source

COOKIECUTTER = "cookiecutter==2.7.1"
ONLY_FILES = "ESTEIRA_RENDER_ONLY"  # says to the template's hooks that they shall do nothing else
OF_THE_PROJECT = ("VIRTUAL_ENV", "PYTHONPATH")


def render(source: Source, answers: dict[str, str | bool], folder: Path) -> Path:
    """Write the project's files below a new folder; return the project's own folder in it.

    Its record says where the template is found by others. Raises UserError where the template
    refuses the answers, or cannot be rendered.
    """
    folder.mkdir()
    settings = folder / "settings.json"  # in place of the user's own: no defaults, no traces
    settings.write_text(
        json.dumps({"replay_dir": f"{folder}/replay", "cookiecutters_dir": f"{folder}/none"}),
        encoding="utf-8",
    )
    out = folder / "out"
    given = [f"{name}={_literal(answer)}" for name, answer in answers.items()]
    command = [
        *("uv", "tool", "run", "--quiet", "--python", sys.executable, "--from", COOKIECUTTER),
        *("cookiecutter", "--no-input", "--config-file", str(settings), "--output-dir", str(out)),
        *(str(source.folder), *given),
    ]
    surroundings = {k: v for k, v in os.environ.items() if k not in OF_THE_PROJECT}
    try:
        done = subprocess.run(
            command,
            cwd=folder,
            env=surroundings | {ONLY_FILES: "1", "PWD": str(folder)},
            capture_output=True,
            text=True,
            encoding="utf-8",
            stdin=subprocess.DEVNULL,
        )
    except FileNotFoundError:
        raise UserError(
            "uv is not on this PATH, and it runs Cookiecutter: install it "
            "(https://docs.astral.sh/uv/getting-started/installation/)."
        ) from None
    written = list(out.iterdir()) if done.returncode == 0 else []
    if not written:
        raise UserError(_refusal(done.stdout + done.stderr))
    (project,) = written
    _record(project, source, answers)
    return project


def _literal(answer: str | bool) -> str:
    """Return an answer such that Cookiecutter, which renders answers, leaves it as it is."""
    text = str(answer)
    if "{" in text:  # as an expression of Jinja begins
        return f"{{{{ {json.dumps(text, ensure_ascii=False)} }}}}"
    return text


def _refusal(said: str) -> str:
    """Return the sentences of the template's own refusal, else the end of what was said."""
    refused = re.findall(r"^Not generated: (.+)$", said, re.MULTILINE)
    if refused:
        return f"the template refuses: {' '.join(refused)} The answers are in {RECORD}."
    words = " ".join(said.split())
    return f"the template cannot be rendered: {words[-400:]}"


def _record(project: Path, source: Source, answers: dict[str, str | bool]) -> None:
    """Complete what the template's hook wrote; versions before 1.0.0 write no record."""
    path = project / RECORD
    known = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    record = Record(
        template=source.address,
        version=source.version,
        commit=source.commit,
        vendor=known.get("vendor") or digest.of_folder(project / "vendor"),
        answers=known.get("answers", answers),
    )
    path.write_text(record.as_text(), encoding="utf-8", newline="\n")
