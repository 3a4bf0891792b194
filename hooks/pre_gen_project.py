"""Refuse a bad answer before a file is written, with one sentence for each."""

import csv
import difflib
import json
import keyword
import os
import re
import shlex
import sys
import tempfile
import unicodedata
from pathlib import Path

# Escaped by `tojson`: no quote and no line end of an answer can end this text.
ANSWERS = json.loads(r"""{{ cookiecutter | tojson }}""")
SAMPLES = {"sample-classification": "diagnosis", "sample-regression": "progression"}
RESERVED = {"con", "prn", "aux", "nul", *(f"{d}{n}" for d in ("com", "lpt") for n in range(1, 10))}
# What the packages of constraints.txt are called, and what they are imported as: a project or a
# package of the same name would hide one, or be hidden. `make lock` writes both lists.
DISTRIBUTIONS = """
aiobotocore aiohappyeyeballs aiohttp aiohttp-retry aioitertools aiosignal amqp annotated-doc
annotated-types antlr4-python3-runtime anyio appdirs asyncssh atpublic attrs billiard botocore
celery certifi cffi charset-normalizer click click-didyoumean click-plugins click-repl cloudpickle
colorama configobj cryptography dask dictdiffer diskcache distributed distro dpath dulwich dvc
dvc-data dvc-http dvc-objects dvc-render dvc-s3 dvc-studio-client dvc-task dvclive entrypoints
filelock flatten-dict flufl-lock frozenlist fsspec funcy gitdb gitpython grandalf gto h11 hydra-core
idna importlib-metadata iniconfig iterative-telemetry jinja2 jmespath joblib kombu lazy-importer
locket markdown-it-py markupsafe mdurl msgpack msgspec multidict mypy-extensions narwhals networkx
numpy nvidia-ml-py omegaconf orjson packaging pandas pandera partd pathspec platformdirs pluggy
prettytable prometheus-client prompt-toolkit propcache psutil pyarrow pycparser pydantic
pydantic-core pydantic-settings pydot pygit2 pygments pygtrie pyparsing pytest python-dateutil
python-dotenv pywin32 pyyaml requests rich ruamel-yaml ruamel-yaml-clib ruff s3fs scikit-learn scipy
scmrepo semver setuptools shellingham shortuuid shtab six skops smmap sortedcontainers sqltrie
starlette tabulate tblib threadpoolctl tomlkit toolz tornado tqdm typeguard typer typing-extensions
typing-inspect typing-inspection tzdata tzlocal urllib3 uvicorn vine voluptuous wcwidth wrapt yarl
zc-lockfile zict zipp
"""
MODULES = """
aiobotocore aiohappyeyeballs aiohttp aiohttp_retry aioitertools aiosignal amqp annotated_doc
annotated_types antlr4 anyio appdirs asyncssh attr attrs billiard botocore celery certifi cffi
charset_normalizer click click_didyoumean click_plugins click_repl cloudpickle colorama configobj
cryptography dask dateutil dictdiffer diskcache distributed distro dotenv dpath dulwich dvc dvc_data
dvc_http dvc_objects dvc_render dvc_s3 dvc_studio_client dvc_task dvclive entrypoints example
filelock flatten_dict flufl frozenlist fsspec funcy git gitdb grandalf gto h11 hydra idna
importlib_metadata iniconfig iterative_telemetry jinja2 jmespath joblib kombu lazy_importer locket
markdown_it markupsafe mdurl msgpack msgspec multidict mypy_extensions narwhals networkx numpy
omegaconf orjson packaging pandas pandera partd pathspec platformdirs pluggy prettytable
prometheus_client prompt_toolkit propcache psutil public py pyarrow pycparser pydantic pydantic_core
pydantic_settings pydevd_plugins pydot pygit2 pygments pygtrie pynvml pyparsing pytest requests rich
ruamel ruff s3fs scipy scmrepo semver setuptools shellingham shortuuid shtab six sklearn skops smmap
sortedcontainers sqltrie starlette tabulate tblib threadpoolctl tlz tomlkit toolz tornado tqdm
typeguard typer typing_extensions typing_inspect typing_inspection tzdata tzlocal urllib3 uvicorn
validate vine voluptuous wcwidth wrapt yaml yarl zc zict zipp
"""
OWN = {
    "cookiecutter", "data", "esteira", "models", "notebooks", "reports", "src", "test", "tests",
    "vendor",
}  # fmt: skip
# A relative path of a table is meant from where the command was given, or the project is put.
FOLDERS = (os.environ.get("PWD", "."), "..")
NAME = r"[A-Za-z0-9]+(-[A-Za-z0-9]+)*"  # of a user or an organisation on GitHub
FREE_TEXT = ("project_name", "description", "owner", "squad", "remote_url", "dataset", "target")


def only_rendered() -> bool:
    """Whether a tool renders the template for an update, in a folder that it compares and drops.

    cruft does, in a temporary folder of its own; another tool says so with ESTEIRA_RENDER_ONLY.
    """
    if os.environ.get("ESTEIRA_RENDER_ONLY"):
        return True
    above = Path.cwd().parent
    temporary = above.parent == Path(tempfile.gettempdir()).resolve()
    by_cookiecutter = "_output_dir" in ANSWERS
    return temporary and not by_cookiecutter and bool(re.fullmatch(r"tmp[a-z0-9_]{8}", above.name))


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
    elif slug in DISTRIBUTIONS.split() or slug == "esteira-toolbox":
        found.append(f"project_slug {slug!r} is a package that the project uses: choose another.")
    if not re.fullmatch(r"[a-z][a-z0-9_]*", package) or len(package) > 60:
        found.append(
            f"package_name {package!r} is not a package name: use up to 60 lower-case letters, "
            "digits and underscores, starting with a letter, such as churn_radar."
        )
    elif keyword.iskeyword(package) or keyword.issoftkeyword(package):
        found.append(f"package_name {package!r} is a word of Python's own: choose another.")
    elif package in sys.stdlib_module_names:
        found.append(f"package_name {package!r} is a module of Python's own: choose another.")
    elif package in {*MODULES.split(), *OWN, *RESERVED}:
        found.append(f"package_name {package!r} is taken by what the project uses: choose another.")
    for name in FREE_TEXT:
        value = answers[name]
        if bad := [c for c in value if unicodedata.category(c) in ("Cc", "Cs") and not c.isspace()]:
            found.append(f"{name} holds the control character {bad[0]!r}: take it out.")
        elif not value.strip() and name != "target":
            found.append(f"{name} is empty: give it a value.")
    if not re.fullmatch(NAME, answers["owner"]):
        found.append(
            f"owner {answers['owner']!r} is not a GitHub name: use letters, digits and single "
            "hyphens."
        )
    elif not re.fullmatch(rf"@{NAME}(/[a-z0-9]+([-_]+[a-z0-9]+)*)?", answers["__codeowner"]):
        found.append(
            f"squad {answers['squad']!r} is no team and no user: give the name of a team of "
            f"{answers['owner']}, or @ and the name of a GitHub user."
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
    if only_rendered() or Path("data/raw").exists():  # the table was adopted long ago
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


def again(answers: dict[str, str]) -> str:
    """Return the command that gives all answers once more, so that none is typed again."""
    given = [f"{name}={value}" for name, value in answers.items() if not name.startswith("_")]
    template = answers.get("_template") or "TEMPLATE"
    return shlex.join(["uvx", "cookiecutter", template, "--no-input", *given])


if __name__ == "__main__":
    if problems := faults(ANSWERS):
        refused = [f"Not generated: {problem}" for problem in problems]
        sys.exit("\n".join([*refused, f"The same answers, to correct: {again(ANSWERS)}"]))
