"""The record of a project that was generated before there was one, from what its files say."""

import re
import tomllib
from pathlib import Path

from ruamel.yaml import YAML

from esteira.line.errors import UserError
from esteira.line.files import read_yaml, replacing
from esteira.update.record import RECORD, Record

LICENSES = {"MIT License": "MIT", "Apache License": "Apache-2.0"}
EARLIEST = "0.1.0"  # what every project is called that has no record
NOTE = "# What this project was made from: `uv run esteira update` reads this.\n"


def begin() -> Record:
    """Write the record. Raises UserError where there is one, or this is no project of Esteira's."""
    if RECORD.exists():
        raise UserError(f"{RECORD} is here already: `uv run esteira update` reads it.")
    found = Record(version=EARLIEST, answers=answers())
    with replacing(RECORD) as temporary, temporary.open("w", encoding="utf-8") as out:
        out.write(NOTE)
        writer = YAML()
        writer.default_flow_style = False
        writer.dump(found.model_dump(), out)
    return found


def answers() -> dict[str, str]:
    """Return the answers that would have made the project's files. Raises UserError."""
    about = tomllib.loads(_text("pyproject.toml"))["project"]
    packages = [path.parent.parent.name for path in Path("src").glob("*/stages/__init__.py")]
    if len(packages) != 1:
        raise UserError(f"src/ holds {len(packages)} packages with stages where one is expected.")
    schema = read_yaml("schema.yaml")
    regression = schema.get("task") == "regression"
    title = next(iter(re.findall(r"^# (.+)$", _text("README.md"), re.MULTILINE)), about["name"])
    owner, squad = _owners()
    return {
        "project_name": title,
        "project_slug": about["name"],
        "package_name": packages[0],
        "description": about["description"],
        "owner": owner,
        "squad": squad,
        "remote_url": _remote(),
        "dataset": "sample-regression" if regression else "sample-classification",
        "target": "progression" if regression else "diagnosis",
        "license": _license(),
    }


def _text(path: str) -> str:
    try:
        return Path(path).read_text(encoding="utf-8")
    except OSError:
        raise UserError(f"{path} is not here: is this a project of Esteira's?") from None


def _owners() -> tuple[str, str]:
    """Return organisation and squad, as CODEOWNERS names them: @organisation/squad, or @user."""
    lines = _text(".github/CODEOWNERS").splitlines()
    rules = "\n".join(line for line in lines if not line.startswith("#"))
    found = re.search(r"@([\w-]+)(?:/([\w-]+))?", rules)
    if found is None:
        return "our-organisation", "data"
    owner, squad = found.groups()
    return owner, squad or f"@{owner}"


def _remote() -> str:
    """Return where DVC keeps data: an address on S3, or `local`."""
    found = re.search(r"^\s*url = (s3://\S+)$", _text(".dvc/config"), re.MULTILINE)
    return found[1] if found else "local"


def _license() -> str:
    first = _text("LICENSE").strip().partition("\n")[0].strip()
    return LICENSES.get(first, "Proprietary")
