"""Print what CHANGELOG.md says of a version, for its release; refuse another tag."""

import json
import re
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


def section(text: str, version: str) -> str | None:
    """Return what stands below a version's heading; None where there is none."""
    start = re.search(rf"^## {re.escape(version)} \(\d{{4}}-\d\d-\d\d\)\n", text, re.MULTILINE)
    if start is None:
        return None
    body = text[start.end() :]
    end = re.search(r"^## ", body, re.MULTILINE)
    return body[: end.start() if end else None].strip()


def main() -> None:
    """Print the section of the version that the tag names. Exits with a sentence."""
    if len(sys.argv) != 2:
        sys.exit("name one tag: python scripts/news.py v1.2.0")
    tag = sys.argv[1]
    questions = json.loads((ROOT / "cookiecutter.json").read_text(encoding="utf-8"))
    version = questions["__version"]
    if tag != f"v{version}":
        sys.exit(f"the tag {tag} is not the version {version} of cookiecutter.json: correct one.")
    found = section((ROOT / "CHANGELOG.md").read_text(encoding="utf-8"), version)
    if not found:
        sys.exit(f"CHANGELOG.md has no section `## {version} (date)`: write what users notice.")
    print(found)


if __name__ == "__main__":
    main()
