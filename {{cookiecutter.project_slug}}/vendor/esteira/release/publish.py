"""Publish a version as a release of GitHub: its files, all of them or none that anybody sees.

A release is a draft until every file is there, so one that is killed halfway is nobody's; the next
run goes on where it ended. Files that are there and the same are left alone.
"""

import hashlib
from pathlib import Path

from esteira.github.api import Api, Release, api, home
from esteira.github.markdown import fill
from esteira.line.errors import UserError
from esteira.line.files import read_json
from esteira.release.versions import RELEASE
from esteira.repository import releases


def publish(tag: str, folder: Path, checked: Path, attested: bool) -> str:
    """Publish the files of a folder that `bundle` wrote. Returns what was done, in a sentence.

    `checked` is the text of `model check`, which has passed. Raises UserError outside of a
    workflow, and where the folder is another version's.
    """
    version = releases.find(tag)
    found = _read_lines(checked)
    note = read_json(folder / RELEASE)
    if note.get("tag") != version.tag:
        raise UserError(f"{folder} is {note.get('tag')}'s, not {version.tag}'s: bundle it anew.")
    server = api(home())
    text = fill(Path(__file__).parent / "release.md", found=found, note=note, attested=attested)
    known = next((r for r in server.releases() if r.tag_name == version.tag), None)
    is_pre = "-" in version.name
    release = known or server.create_release(version.tag, text, is_pre)
    uploaded = _upload(server, release, folder)
    server.update_release(release.id, text, is_pre)
    done = "Published" if known is None or known.draft else "Updated"
    return f"{done} {version.tag}: {uploaded} of {len(list(folder.iterdir()))} files were uploaded."


def _upload(server: Api, release: Release, folder: Path) -> int:
    """Upload what is absent or another; return how many files that were."""
    there = {asset.name: asset for asset in release.assets}
    count = 0
    for file in sorted(folder.iterdir()):
        content = file.read_bytes()
        digest = f"sha256:{hashlib.sha256(content).hexdigest()}"
        known = there.get(file.name)
        if known is not None and known.state == "uploaded" and known.digest == digest:
            continue
        if known is not None:
            server.delete_asset(known.id)
        server.upload(release, file.name, content)
        count += 1
    return count


def _read_lines(path: Path) -> list[str]:
    try:
        return path.read_text(encoding="utf-8").splitlines()
    except OSError as error:
        raise UserError(f"{path} cannot be read: {error.strerror}.") from None
