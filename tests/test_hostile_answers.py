"""Any Unicode that the prompts accept gives a project that parses; any table gives a verdict.

ESTEIRA_SOAK multiplies the examples (`make soak`).
"""

import configparser
import json
import os
import re
import tomllib
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pandas as pd
from cookiecutter.environment import StrictEnvironment
from cookiecutter.generate import generate_context, generate_files
from cookiecutter.prompt import render_variable
from helpers import ROOT, parse, run
from hypothesis import HealthCheck, Phase, event, example, given, settings
from hypothesis import strategies as st
from sklearn.dummy import DummyClassifier, DummyRegressor

from esteira.drift import profile, report
from esteira.drift.check import check
from esteira.drift.limits import Settings
from esteira.line import table, validate
from esteira.line.schema import Schema

SOAK = int(os.environ.get("ESTEIRA_SOAK", "1"))
UNHURRIED = {
    "deadline": None,
    "suppress_health_check": list(HealthCheck),
    "phases": [Phase.explicit, Phase.reuse, Phase.generate],  # a failure is small enough
}
PIECES = [
    *('"', "'", "\\", "\\n", "{{", "}}", "{% raw %}", "{#", "${{ secrets.X }}", "$(id)", "`id`"),
    *(": ", " #", "- ", "|", ">", "&a", "*a", "!!python", "%", "@", "~", "null", "yes", "1e3"),
    *("<b>", "]]>", "[x](y)", "=cmd", "\u202e", "\u2028", "\ufeff", "\x85"),
    *("é", "e\u0301", "数", "😀", "İ", "ß", "\u00a0", "\t", "\r\n", "\n", "  ", "'''", '"""', "r'"),
]  # fmt: skip
CLEAN = st.text(st.characters(exclude_categories=["Cc", "Cs"]), max_size=5)
CONTROLS = st.sampled_from(["\u0000", "\x1b", "\x7f", "\a"])
TEXT = st.lists(st.sampled_from(PIECES) | CLEAN, min_size=1, max_size=8).map("".join)
DIRTY = st.tuples(TEXT, CONTROLS).map("".join)
NAMES = st.from_regex(r"[a-z][a-z0-9]{0,8}(-[a-z0-9]{1,5}){0,2}", fullmatch=True)
ANSWERS = st.fixed_dictionaries(
    {"project_name": TEXT, "description": TEXT, "squad": TEXT, "project_slug": NAMES},
    optional={
        "package_name": NAMES.map(lambda name: name.replace("-", "_")),
        "owner": st.from_regex(r"[A-Za-z0-9]{1,9}(-[A-Za-z0-9]{1,4})?", fullmatch=True),
        "remote_url": st.sampled_from(["local", "s3://bucket/a/b", "s3://my.bucket-1"]),
        "dataset": st.sampled_from(["sample-classification", "sample-regression"]),
        "license": st.sampled_from(["MIT", "Apache-2.0", "Proprietary"]),
    },
)
SPOILT = st.tuples(ANSWERS, st.sampled_from(["owner", "squad", "remote_url", "license"]), DIRTY)


def completed(answers: dict[str, str], folder: str) -> dict[str, Any]:
    """Return all that cookiecutter would hold after these answers at its prompts."""
    context = generate_context(str(ROOT / "cookiecutter.json"))["cookiecutter"]
    known: dict[str, Any] = {}
    environment = StrictEnvironment(context={"cookiecutter": context}, keep_trailing_newline=True)
    for name, raw in context.items():
        if name in answers:
            known[name] = answers[name]
        elif name.startswith("_") and not name.startswith("__"):
            known[name] = raw
        elif isinstance(raw, list):
            known[name] = raw[0]
        elif not isinstance(raw, dict):
            known[name] = render_variable(environment, raw, known)
    return known | {"_template": str(ROOT), "_output_dir": folder, "_repo_dir": str(ROOT)}


def refusals(context: dict[str, Any]) -> list[str]:
    """Return what the hook says of these answers, as cookiecutter would render it."""
    environment = StrictEnvironment(context={"cookiecutter": context})
    source = (ROOT / "hooks" / "pre_gen_project.py").read_text(encoding="utf-8")
    rendered = environment.from_string(source).render(cookiecutter=context)
    module: dict[str, Any] = {"__name__": "hook"}
    exec(compile(rendered, "pre_gen_project.py", "exec"), module)  # noqa: S102
    assert module["ANSWERS"] == context, "answers survive the way into the hook"
    return module["faults"](module["ANSWERS"])


def check_parses(project: Path) -> None:
    for path in (p for p in project.rglob("*") if p.is_file() and "__pycache__" not in p.parts):
        if path.suffix == ".pyc" or ".ruff_cache" in path.parts:
            continue
        parse(path.suffix, path.read_text(encoding="utf-8"))


def check_says(project: Path, context: dict[str, Any]) -> None:
    """Check that what was answered is what the files say, and that it says nothing else."""
    about = tomllib.loads((project / "pyproject.toml").read_text(encoding="utf-8"))
    assert about["project"]["name"] == context["project_slug"]
    assert about["project"]["description"] == " ".join(context["description"].split())
    assert about["tool"]["esteira"]["package"] == context["package_name"]
    remotes = configparser.ConfigParser()
    remotes.read_string((project / ".dvc" / "config").read_text(encoding="utf-8"))
    assert set(remotes.sections()) == {"core", "'remote \"storage\"'"}
    url = remotes["'remote \"storage\"'"]["url"]
    local = f"../../{context['project_slug']}-dvc-remote"
    assert url == (local if context["remote_url"] == "local" else context["remote_url"])
    owners = (project / ".github" / "CODEOWNERS").read_text(encoding="utf-8").splitlines()
    for line in owners:
        assert re.fullmatch(r"#.*|\S+ @[A-Za-z0-9-]+(/[a-z0-9_-]*)?|", line), line
    title = (project / "README.md").read_text(encoding="utf-8").splitlines()[0]
    assert title == f"# {' '.join(context['project_name'].split())}"


@settings(max_examples=25 * SOAK, **UNHURRIED)
@given(ANSWERS)
@example({"project_name": "{{ cookiecutter }}", "description": "{% raw %}", "squad": "x"})
@example({"project_name": "a\u2028b", "description": "\x85: #", "squad": "\u202eabc"})
@example({"project_name": "A", "description": '"""\\', "squad": "---", "project_slug": "a"})
def test_what_the_prompts_accept_parses_and_says_what_was_answered(answers: dict[str, str]) -> None:
    with TemporaryDirectory() as folder:
        context = completed(answers, folder)
        refused = refusals(context)
        event("refused" if refused else "accepted")
        if refused:
            assert "\n" not in "".join(refused)
            return
        made = generate_files(
            str(ROOT), {"cookiecutter": context}, output_dir=folder, accept_hooks=False
        )
        assert os.listdir(folder) == [context["project_slug"]]  # noqa: PTH208
        check_parses(Path(made))
        check_says(Path(made), context)


@settings(max_examples=100 * SOAK, **UNHURRIED)
@given(SPOILT)
def test_what_the_prompts_refuse_gets_a_sentence(case: tuple[dict[str, str], str, str]) -> None:
    answers, name, text = case
    context = completed(answers | {name: text}, "/")
    refused = refusals(context)
    if name != "license":
        assert any(sentence.startswith(f"{name} ") for sentence in refused)
    assert "\n" not in "".join(refused)
    assert all(sentence.isprintable() for sentence in refused)


@settings(max_examples=2 * SOAK, **UNHURRIED)
@given(answers=ANSWERS)
def test_an_accepted_project_is_one_that_dvc_can_read(
    reproduced: Path, answers: dict[str, str]
) -> None:
    answers = {k: v for k, v in answers.items() if k not in ("project_slug", "package_name")}
    answers |= {"project_slug": "hostile", "package_name": "hostile", "owner": "squad"}
    answers["remote_url"] = "local"
    with TemporaryDirectory() as folder:
        context = completed(answers, folder)
        if refusals(context):
            return
        made = generate_files(
            str(ROOT), {"cookiecutter": context}, output_dir=folder, accept_hooks=False
        )
        run(Path(made), "git", "init", "--quiet")
        done = run(Path(made), "esteira", "verify", "--lock", check=False)
        assert done.returncode == 1
        assert done.stderr.count("dvc.lock does not know it") == 8, done.stderr


CELLS = " 0 1 -1 1e308 -1e308 1e-320 inf nan NULL yes no é 😀 2024-02-30 2024-02-29 1 2 a b \0 1,5"
CELL = st.sampled_from(CELLS.split(" ")) | st.text(max_size=6)


@st.composite
def tables(draw: Any) -> tuple[Schema, pd.DataFrame, pd.DataFrame]:
    """Return a schema, and two raw tables of text cells that may or may not obey it."""
    names = ["x", "é", "c d", "b", "t"][: draw(st.integers(1, 5))]
    types = ["number", "category", "integer", "boolean", "datetime"]
    columns: dict[str, Any] = {
        name: {"type": draw(st.sampled_from(types)), "missing": draw(st.booleans())}
        for name in names
    }
    task = draw(st.sampled_from(["classification", "regression"]))
    columns["y"] = {"type": "number" if task == "regression" else "category", "role": "target"}
    schema = Schema.model_validate({"task": task, "columns": columns})

    def rows(least: int) -> pd.DataFrame:
        count = draw(st.integers(least, 60))
        cells = {n: draw(st.lists(CELL, min_size=1, max_size=8)) for n in columns}
        every = {n: [c[i % len(c)] for i in range(count)] for n, c in cells.items()}
        return pd.DataFrame(every, dtype="str")

    batch = rows(0)
    dropped = draw(st.lists(st.sampled_from(names), max_size=1))
    return schema, rows(2), batch.drop(columns=dropped)


def violations(frame: pd.DataFrame, schema: Schema, size: int) -> pd.DataFrame:
    checking = validate.Checking(schema, 3)
    for start in range(0, max(len(frame), 1), size):
        checking.check(frame.iloc[start : start + size])
    return checking.violations()


@settings(max_examples=60 * SOAK, **UNHURRIED)
@given(tables())
def test_any_table_is_validated(case: tuple[Schema, pd.DataFrame, pd.DataFrame]) -> None:
    schema, raw, batch = case
    for frame in (raw, batch):
        typed, faults = validate.check(frame.mask(frame == ""), schema)
        assert list(typed) == list(schema.columns)
        assert len(typed) == len(frame)
        assert faults["row"].dropna().between(1, max(len(frame), 1)).all()
        found = violations(frame.mask(frame == ""), schema, 1000)
        assert (found["rows"] >= 0).all()
        pd.testing.assert_frame_equal(violations(frame.mask(frame == ""), schema, 7), found)


@settings(max_examples=20 * SOAK, **UNHURRIED)
@given(tables())
def test_any_batch_gets_a_drift_verdict_or_a_sentence(
    case: tuple[Schema, pd.DataFrame, pd.DataFrame],
) -> None:
    schema, raw, batch = case
    typed, _ = table.parse(raw.mask(raw == ""), schema)
    new, _ = table.parse(batch.mask(batch == ""), schema)
    new = new[[name for name in new if name in batch]]
    typed = typed.dropna(subset=[schema.target])
    if typed[schema.target].nunique() < 2:
        return  # the line stops before
    if schema.task == "classification" and typed[schema.target].nunique() == 2:
        schema = schema.model_copy(update={"positive": typed[schema.target].max()})
    model = (DummyClassifier() if schema.task == "classification" else DummyRegressor()).fit(
        typed[schema.inputs], typed[schema.target]
    )

    def predict(rows: Any) -> Any:
        rows = new.iloc[rows].reindex(columns=schema.inputs)
        return profile.ask(model, rows, schema.positive)

    reference = profile.of_line(typed, typed, model, schema, {})
    found = check(reference, new, Settings(), predict)
    with TemporaryDirectory() as folder:
        report.write(found, folder)
        metrics = json.loads((Path(folder) / "metrics.json").read_text(encoding="utf-8"))
    assert metrics["rows_current"] == len(new)
    assert all(isinstance(value, int | float) for value in metrics.values())
