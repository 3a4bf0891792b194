"""Print a release's section of CHANGELOG.md; refuse a tag that the files do not name alike."""

import re
import sys
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
VERSIONED = ("pyproject.toml", "{{cookiecutter.project_slug}}/vendor/pyproject.toml")


def versions(root: Path) -> dict[str, str]:
    """Return the version that each file names."""
    texts = {name: (root / name).read_text(encoding="utf-8") for name in VERSIONED}
    return {name: tomllib.loads(text)["project"]["version"] for name, text in texts.items()}


def section(changelog: str, version: str) -> str:
    """Return what stands below the heading of a version; "" where there is none."""
    found = re.search(
        rf"^## {re.escape(version)}$\n(.*?)(?=^## |\Z)", changelog, re.MULTILINE | re.DOTALL
    )
    return found[1].strip() if found else ""


def notes(root: Path, tag: str) -> str:
    """Return the notes of a release. Exits with a sentence where something does not agree."""
    version = tag.removeprefix("v")
    for name, named in versions(root).items():
        if named != version:
            sys.exit(f"{tag} is not released: {name} says {named}.")
    text = section((root / "CHANGELOG.md").read_text(encoding="utf-8"), version)
    if not text:
        sys.exit(f"{tag} is not released: CHANGELOG.md has nothing below `## {version}`.")
    return text


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit("Usage: release_notes.py TAG")
    print(notes(ROOT, sys.argv[1]))
