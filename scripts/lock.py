"""Resolve the newest versions: the project's constraints.txt, then constraints-dev.txt on top.

Both hold versions alone and no index's address, so every squad resolves them from its own index.
"""

import subprocess
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PROJECT = ROOT / "{{cookiecutter.project_slug}}"
TOOLBOX = "esteira-toolbox"  # lies in vendor/, and has no release
NOTE = "# The versions this project was tested with; the first uv.lock is made from them.\n"


def resolve(*arguments: str, requirements: str) -> str:
    """Return the pins for `requirements`, for every platform and Python from 3.11."""
    command = [
        ROOT / ".cache/bootstrap/bin/uv", "pip", "compile", "--quiet", "--universal",
        "--python-version", "3.11", "--no-header", "--no-annotate", *arguments, "-",
    ]  # fmt: skip
    done = subprocess.run(
        command, input=requirements, stdout=subprocess.PIPE, text=True, check=True, cwd=ROOT
    )
    return done.stdout


def main() -> None:
    """Write both files."""
    # Only the name and the description are templated, and both stand in quotes: it parses as it is.
    project = tomllib.loads((PROJECT / "pyproject.toml").read_text(encoding="utf-8"))
    toolbox = tomllib.loads((PROJECT / "vendor/pyproject.toml").read_text(encoding="utf-8"))
    squads = [need for need in project["project"]["dependencies"] if need != TOOLBOX]
    extras = toolbox["project"]["optional-dependencies"].values()
    theirs = [*toolbox["project"]["dependencies"], *(need for extra in extras for need in extra)]
    needs = "\n".join([*squads, *theirs, *project["dependency-groups"]["dev"]])
    constraints = PROJECT / "constraints.txt"
    constraints.write_text(NOTE + resolve(requirements=needs), encoding="utf-8", newline="\n")
    ours = (ROOT / "requirements-dev.in").read_text(encoding="utf-8")
    pins = resolve("--constraints", str(constraints), requirements=needs + "\n" + ours)
    (ROOT / "constraints-dev.txt").write_text(pins, encoding="utf-8", newline="\n")


if __name__ == "__main__":
    main()
