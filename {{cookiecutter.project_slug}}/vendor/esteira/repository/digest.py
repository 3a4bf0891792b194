"""One digest for all files of the toolbox, by which an edit of vendor/ is told.

It needs nothing but Python: the template's hook runs this file when a project is generated.
"""

import hashlib
from pathlib import Path

MADE = ("__pycache__", ".ruff_cache", "dist")  # folders that tools make in it


def of_folder(folder: Path) -> str:
    """Return the SHA-256 of the names and contents of all files below a folder, in hexadecimal.

    Line ends count as Git stores them.
    """
    found = hashlib.sha256()
    for path in sorted(folder.rglob("*"), key=lambda each: each.relative_to(folder).as_posix()):
        name = path.relative_to(folder)
        is_made = any(part in MADE or part.endswith(".egg-info") for part in name.parts)
        if is_made or not path.is_file():
            continue
        content = path.read_bytes().replace(b"\r\n", b"\n")
        found.update(f"{name.as_posix()}\0{hashlib.sha256(content).hexdigest()}\n".encode())
    return found.hexdigest()
