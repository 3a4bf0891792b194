"""Refuse a bad answer before a file is written, with one sentence for each."""

import csv
import difflib
import json
import keyword
import os
import re
import sys
import unicodedata
from pathlib import Path

# Escaped by `tojson`: no quote and no line end of an answer can end this text.
ANSWERS = json.loads(r"""{{ cookiecutter | tojson }}""")
SAMPLES = {"sample-classification": "diagnosis", "sample-regression": "progression"}
RESERVED = {"con", "prn", "aux", "nul", *(f"{d}{n}" for d in ("com", "lpt") for n in range(1, 10))}
# Packages that the project imports: one of the same name would hide it, or be hidden.
TAKEN = {
    "cookiecutter", "data", "dvc", "dvclive", "esteira", "joblib", "models", "numpy", "pandas",
    "pandera", "pyarrow", "pydantic", "pytest", "reports", "rich", "ruamel", "scipy", "skops",
    "sklearn", "test", "tests", "typer", "yaml",
}  # fmt: skip
# A relative path of a table is meant from where the command was given.
FOLDERS = (os.environ.get("PWD", "."), ANSWERS["_output_dir"])
FREE_TEXT = ("project_name", "description", "owner", "squad", "remote_url", "dataset", "target")


def absent_from(path: Path, target: str) -> str:
    """Return a sentence if the first line of a plain-text table surely lacks the target."""
    if path.suffix.lower() not in (".csv", ".tsv", ".txt") or re.fullmatch(r"column_\d+", target):
        return ""
    with path.open("rb") as source:
        line = source.readline(1 << 20)
    if not line.strip() or b"\0" in line or not line.endswith(b"\n") or line.count(b'"') % 2:
        return ""  # empty, UTF-16, or not whole: adopting tells
    try:
        text = line.decode("utf-8-sig")
    except UnicodeDecodeError:
        text = line.decode("latin-1")
        if not target.isascii():  # it may be written in yet another encoding
            return ""
    if target in text.replace('""', '"'):
        return ""
    mark = max(",;\t|", key=text.count)
    names = [cell.strip() for cell in next(csv.reader([text.strip()], delimiter=mark))]
    lower = {name.lower(): name for name in names}
    near = difflib.get_close_matches(target.lower(), lower, n=1, cutoff=0)
    hint = f": did you mean {lower[near[0]]!r}?" if near else "."
    return f"target {target!r} is not in the first line of {path.name}{hint}"


def faults(answers: dict[str, str]) -> list[str]:
    """Return one sentence for each answer that cannot be used."""
    found = []
    slug, package = answers["project_slug"], answers["package_name"]
    if not re.fullmatch(r"[a-z][a-z0-9]*(-[a-z0-9]+)*", slug) or len(slug) > 60 or slug in RESERVED:
        found.append(
            f"project_slug {slug!r} is not a folder name: use up to 60 lower-case letters, digits "
            "and single hyphens, starting with a letter, such as churn-radar."
        )
    if not re.fullmatch(r"[a-z][a-z0-9_]*", package) or len(package) > 60:
        found.append(
            f"package_name {package!r} is not a package name: use up to 60 lower-case letters, "
            "digits and underscores, starting with a letter, such as churn_radar."
        )
    elif keyword.iskeyword(package) or keyword.issoftkeyword(package):
        found.append(f"package_name {package!r} is a word of Python's own: choose another.")
    elif package in sys.stdlib_module_names:
        found.append(f"package_name {package!r} is a module of Python's own: choose another.")
    elif package in TAKEN or package in RESERVED:
        found.append(f"package_name {package!r} is taken by what the project uses: choose another.")
    for name in FREE_TEXT:
        value = answers[name]
        if bad := [c for c in value if unicodedata.category(c) in ("Cc", "Cs") and not c.isspace()]:
            found.append(f"{name} holds the control character {bad[0]!r}: take it out.")
        elif not value.strip() and name != "target":
            found.append(f"{name} is empty: give it a value.")
    if not re.fullmatch(r"[A-Za-z0-9]+(-[A-Za-z0-9]+)*", answers["owner"]):
        found.append(
            f"owner {answers['owner']!r} is not a GitHub name: use letters, digits and single "
            "hyphens."
        )
    if not re.fullmatch(
        r"local|s3://[a-z0-9][a-z0-9.-]{1,61}[a-z0-9](/[A-Za-z0-9!_.*'()=+-]+)*/?",
        answers["remote_url"],
    ):
        found.append(
            f"remote_url {answers['remote_url']!r} is neither 'local' nor s3://bucket/prefix: the "
            "bucket has 3 to 63 lower-case letters, digits, dots and hyphens."
        )
    dataset, target = answers["dataset"], answers["target"]
    if dataset in SAMPLES:
        if target != SAMPLES[dataset]:
            found.append(
                f"target {target!r} is not in {dataset}, which predicts {SAMPLES[dataset]!r}: "
                "leave target as it is, or give dataset the path of your own file."
            )
        return found
    tables = [Path(folder, dataset).expanduser() for folder in FOLDERS]
    table = next((path for path in tables if path.is_file()), None)
    if table is None:
        found.append(
            f"dataset {dataset!r} is no sample ({' or '.join(SAMPLES)}) and no file here: give "
            "the path of your table."
        )
    elif not target.strip():
        found.append(f"target is empty: name the column of {dataset} that is to be predicted.")
    elif absent := absent_from(table, target.strip()):
        found.append(absent)
    return found


if __name__ == "__main__":
    if problems := faults(ANSWERS):
        sys.exit("\n".join(f"Not generated: {problem}" for problem in problems))
