"""All that belongs to a version, in one folder: what is served, what is read, and their hashes."""

import hashlib
import shutil
import tempfile
from pathlib import Path

from esteira.line.errors import UserError
from esteira.line.files import write_text
from esteira.release import refused, sbom, versions
from esteira.release.versions import Note
from esteira.repository import git, releases
from esteira.repository.releases import Version

CARDS = ("reports/card.md", "reports/card.html")
END = "</main>"  # of the card's page, before which more is told
SUMS = "SHA256SUMS"
BILL = "sbom.cdx.json"


def bundle(name: str, folder: Path) -> Note:
    """Put a version's model, profile, schema, card and bill of materials into a new folder.

    The working tree must be the version's commit, whose uv.lock the bill is of. Raises UserError
    where it is not, and where anything cannot be had; then no folder is left.
    """
    version = releases.find(name)
    if git.commit("HEAD") != version.commit:
        raise UserError(
            f"here is another commit than {version.tag}'s: `git checkout {version.tag}`."
        )
    versions.require_free(folder)
    with tempfile.TemporaryDirectory(prefix="esteira-bundle-") as temporary:
        whole = Path(temporary) / "whole"
        note = versions.get(name, whole)
        way = refused.on_the_way(version)
        markdown, page = (_card(version, path) for path in CARDS)
        write_text(whole / "card.md", markdown + refused.in_markdown(way))
        write_text(whole / "card.html", page.replace(END, refused.in_page(way) + END))
        sbom.make(note, whole / "model.skops", whole / BILL)
        sums = [f"{_sha256(file)}  {file.name}\n" for file in sorted(whole.iterdir())]
        write_text(whole / SUMS, "".join(sums))
        shutil.copytree(whole, folder, dirs_exist_ok=True)
    return note


def _card(version: Version, path: str) -> str:
    text = git.text_at(version.commit, path)
    if text is None:
        raise UserError(f"{version.tag} has no {path}: `uv run dvc repro` makes it.")
    return text


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
