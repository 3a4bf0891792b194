"""The project's commands: `uv run esteira …`. Each imports the room it needs, when it is called."""

import gc
import os
import sys
from contextlib import ExitStack
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.markup import escape
from rich.status import Status
from rich.table import Table

from esteira.line.errors import UserError, of_the_disk

app = typer.Typer(no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False)

# The panels of `esteira --help`, in the order in which their first commands stand below.
LINE = "The line: is the model good enough?"
DATA = "Data: your table, new batches, drift"
USE = "Use: what does the model say?"
TRUST = "Trust: can a number be reproduced?"
PULL_REQUEST = "Pull requests: what did a change move?"
PROJECT = "The project: a newer template, stages and notebooks of your own"
BESIDE = "Beside: the tools you already run"


@app.callback()
def commands(context: typer.Context) -> None:
    """The toolbox of the project: gates and checks beside the line that `dvc repro` runs."""
    if context.invoked_subcommand != "doctor":  # which tells of it, and asks first
        undo_what_was_killed()


def working(what: str) -> Status:
    """Show, on a terminal alone, that something that may take long is at work."""
    return Console(stderr=True).status(f"{what} …")


def undo_what_was_killed() -> None:
    """Put back the files of a command that was killed while it changed them."""
    from esteira.line.files import recover

    for command in recover():
        print(
            f"esteira: `{command}` was killed halfway; its files are as they were before it.",
            file=sys.stderr,
        )


@app.command(rich_help_panel=LINE, epilog="Example: uv run esteira gate --base origin/main")
def gate(
    base: Annotated[
        str | None,
        typer.Option(
            help="Compare with where this branch left it; the default branch unless told."
        ),
    ] = None,
) -> None:
    """Judge the metrics in reports/ by gates.yaml; exit with 1 if a rule is broken."""
    from esteira.comparison import says
    from esteira.gate import judge_all, remarks
    from esteira.page.words import figure
    from esteira.repository import base as bases
    from esteira.repository import git, lock

    with working("Judging, and comparing with the base"):
        found = bases.find(base)
        verdicts = judge_all(found.comparable)
        stale = lock.says_stale() if git.is_repository() else ""
    table = Table("metric", "base", "now", "must be", "verdict")
    for verdict in verdicts:
        table.add_row(
            verdict.metric,
            "" if verdict.base is None else figure(verdict.base),
            verdict.word or figure(verdict.now),
            verdict.must_be,
            "[red]no[/]" if verdict.reason else "[green]yes[/]",
        )
    Console().print(table)
    print(found.says())
    if not git.is_repository():
        print("Whether dvc.lock is fresh was not checked: that needs a Git repository.")
    for verdict in verdicts:
        if verdict.not_compared:
            print(f"{verdict.metric} is not compared: {verdict.not_compared}")
        elif verdict.comparison:
            print(f"{verdict.metric}: {says(verdict.comparison)}")
    for remark in remarks(verdicts):
        print(f"gate: {remark}")
    broken = [verdict.reason for verdict in verdicts if verdict.reason]
    if stale:
        broken.insert(0, stale)
    for reason in broken:
        print(f"gate: {reason}", file=sys.stderr)
    sys.exit(1 if broken else 0)


@app.command(rich_help_panel=LINE, epilog="Example: uv run esteira status")
def status(
    base: Annotated[
        str | None,
        typer.Option(
            help="Compare with where this branch left it; the default branch unless told."
        ),
    ] = None,
) -> None:
    """Say on one screen how the project stands, and what to do next."""
    from esteira import status as room

    with working("Looking at the lock, the gates and the remote"):
        found = room.find(base)
    room.show(Console(highlight=False), found)


@app.command(rich_help_panel=LINE, epilog="Example: uv run esteira report --open")
def report(
    out: Annotated[Path, typer.Option(help="Where to write it.")] = Path("reports/report.html"),
    base: Annotated[
        str | None,
        typer.Option(
            help="Compare with where this branch left it; the default branch unless told."
        ),
    ] = None,
    *,
    open_it: Annotated[bool, typer.Option("--open", help="Show it in the browser.")] = False,
) -> None:
    """Write one page: verdict, metrics, model, drift, data, and where all of it comes from."""
    from esteira.report.write import write

    with working("Collecting and drawing"):
        found = write(out, base).standing
    print(f"{found.headline}: {found.reasons[0]}\nNext: {found.step}\nReport: {out}")
    if open_it and typer.launch(out.resolve().as_uri()):
        raise UserError(f"no browser could be started: open {out} in one.")


@app.command(
    rich_help_panel=DATA,
    epilog="Example: uv run esteira drift models/reference.json august.csv --out drift",
)
def drift(
    reference: Annotated[
        str, typer.Argument(help="Table, or profile such as models/reference.json.")
    ],
    current: Annotated[str, typer.Argument(help="Table to check against it.")],
    target: Annotated[str | None, typer.Option(help="Column that the model predicts.")] = None,
    predictions: Annotated[str | None, typer.Option(help="Column with its predictions.")] = None,
    out: Annotated[str, typer.Option(help="Folder for the figures and the report.")] = "drift",
) -> None:
    """Check a table for drift; exit with 0 keep, 10 retrain, 11 rework, 2 unusable.

    Against a profile with its model beside it, the model is asked, as the line does.
    """
    from esteira import beside_model
    from esteira.drift.two_tables import compare_files, demand_folder

    def read_text(path: str, types: Any) -> Any:
        from esteira.adopt import typed  # imports pandas, which Parquet files do not need

        return typed.read(path, types)

    with working("Comparing the tables"):
        known = None if target or predictions else beside_model.find(reference)
        if known:
            demand_folder(out)
            found = beside_model.check(known, current, out)
        else:
            found = compare_files(reference, current, target, predictions, out, read_text)
    print(f"{found.summary()}\nReport: {Path(out) / 'report.html'}")
    sys.exit(found.verdict.status)


@app.command(rich_help_panel=TRUST, epilog="Example: uv run esteira verify train evaluate")
def verify(
    stage: Annotated[
        list[str] | None, typer.Argument(help="Stages to execute; all of them.")
    ] = None,
    *,
    lock: Annotated[
        bool, typer.Option("--lock", help="Only: is dvc.lock fresh? Needs no data, no secrets.")
    ] = False,
    pushed: Annotated[
        bool, typer.Option("--pushed", help="Only: does the remote hold what dvc.lock names?")
    ] = False,
    json: Annotated[str | None, typer.Option(help="Also write the findings to this file.")] = None,
) -> None:
    """Prove that dvc.lock is true; exit with 1 if it is not.

    Without an option: run every stage twice in an empty folder that holds only what it declares,
    and compare each output with dvc.lock.
    """
    from esteira.line.files import write_json
    from esteira.verify import report

    found = (
        report.lock_and_remote(lock, pushed, stage) if lock or pushed else report.execution(stage)
    )
    if json:
        write_json(json, found.as_json())
    sys.exit(0 if found.ok else 1)


@app.command(rich_help_panel=TRUST, epilog="Example: uv run esteira record")
def record() -> None:
    """Write down, in environment.json, the environment that made dvc.lock; commit both."""
    from esteira.repository import environment

    written = environment.record()
    print(f"{environment.RECORD} {'describes' if written else 'already described'} dvc.lock.")


@app.command("resolve-lock", rich_help_panel=TRUST, epilog="Example: uv run esteira resolve-lock")
def resolve_lock() -> None:
    """Resolve a merge conflict in dvc.lock: compute what the merged code and settings give."""
    from esteira.verify import doctor

    doctor.resolve()
    print(
        "dvc.lock and the metrics are those of the merged project: `git commit`, then `dvc push`."
    )


@app.command(rich_help_panel=TRUST, epilog="Example: uv run esteira doctor --fix")
def doctor(
    fix: Annotated[bool, typer.Option("--fix", help="Put aside what is damaged.")] = False,
) -> None:
    """Look for crashed commands, damaged or missing files, conflicts; say what to do; exit 1."""
    from esteira.verify import doctor

    sys.exit(0 if doctor.main(fix) else 1)


@app.command(
    rich_help_panel=DATA,
    epilog="Example: uv run esteira adopt churn.csv --target Churn --time signed_up",
)
def adopt(
    path: Annotated[str, typer.Argument(help="CSV, Parquet or JSON lines; compressed or not.")],
    target: Annotated[str, typer.Option(help="The column to predict.")],
    time: Annotated[str | None, typer.Option(help="The column that orders the rows.")] = None,
    task: Annotated[str | None, typer.Option(help="classification or regression.")] = None,
    positive: Annotated[str | None, typer.Option(help="The class of interest, of two.")] = None,
    current: Annotated[str | None, typer.Option(help="A newer batch, for the drift check.")] = None,
    header: Annotated[bool, typer.Option(help="Whether the first line holds the names.")] = True,
    force: Annotated[bool, typer.Option(help="Replace a table adopted before.")] = False,
) -> None:
    """Make the line run on your own table: decide, say why, write it where you would change it."""
    from esteira.adopt.adopt import carry_out, plan
    from esteira.adopt.decisions import describe
    from esteira.adopt.detect import Asked

    asked = Asked(target, time, task, positive)
    with working("Reading and judging the table"):
        changes = plan(path, asked, current=current, header=header, force=force)
    print(describe(changes.decisions))
    if force:
        print(f"\n{changes.diff()}", end="")
    carry_out(changes)
    print(f"\n{path} is adopted as {', '.join(map(str, changes.copies))}. Next: uv run dvc repro")


@app.command(rich_help_panel=DATA, epilog="Example: uv run esteira absorb data/raw/august.csv")
def absorb(
    batch: Annotated[str, typer.Argument(help="A labelled batch, such as data/raw/august.csv.")],
) -> None:
    """Take a batch that drifted into the training table, so that the next repro learns it."""
    from esteira import absorb as room

    with working("Taking the batch into training"):
        absorbed = room.absorb(batch)
    print(absorbed.says())


@app.command(rich_help_panel=DATA, epilog="Example: uv run esteira drill --kind concept")
def drill(
    kind: Annotated[str, typer.Option(help="data, concept, missing, category or schema.")] = "data",
    strength: Annotated[float, typer.Option(help="How strong the drift is; 1 is plain.")] = 1.0,
    undo: Annotated[bool, typer.Option(help="Put everything back as it was.")] = False,
) -> None:
    """Rehearse an alarm: check a drifted batch of your own data, and see what is said."""
    from esteira import drill as room

    print(room.undo() if undo else room.rehearse(kind, strength))


@app.command(rich_help_panel=USE, epilog="Example: uv run esteira predict august.csv answers.csv")
def predict(
    source: Annotated[str, typer.Argument(help="A table like the one that was adopted.")],
    out: Annotated[str, typer.Argument(help="Where to write the answers: .parquet or .csv.")],
) -> None:
    """Let the model answer every row of a table, and say beside it which rules a row breaks."""
    from esteira import predict as room

    print(room.predict(source, out).says())


@app.command(rich_help_panel=DATA, epilog="Example: uv run esteira validate data/raw/august.csv")
def validate(path: Annotated[str, typer.Argument(help="A raw table or batch.")]) -> None:
    """Check a table or batch against schema.yaml; exit with 1 if a rule is broken."""
    from esteira.line import parts, schema, table
    from esteira.line.validate import Checking

    what = schema.load()
    checking = Checking(what)
    with working("Checking every cell"):
        for raw in parts.read_raw(path, what.file):
            table.demand_like(raw, path, what)
            checking.check(raw)
    found = checking.violations()
    if found.empty:
        print(f"{path} keeps every rule: {checking.rows} rows.")
        sys.exit(0)
    shown = Table(*(str(name).replace("_", " ") for name in found))
    for row in found.itertuples(index=False):
        shown.add_row(*(escape(str(cell)) for cell in row))
    Console().print(shown)
    of_rows = f"{checking.rows_in_violation} of {checking.rows} rows"
    print(f"{path} breaks rules: {len(found)}, in {of_rows}.")
    sys.exit(1)


@app.command(rich_help_panel=USE, epilog="Example: uv run --extra serve esteira serve --log logs")
def serve(
    host: Annotated[str, typer.Option(help="Where to listen; only this machine unless told.")] = (
        "127.0.0.1"
    ),
    port: Annotated[int, typer.Option(min=0, max=65535, help="0 takes a free one.")] = 8000,
    workers: Annotated[int, typer.Option(min=1, max=64, help="Processes that answer.")] = 1,
    model: Annotated[
        Path | None, typer.Option(help="A folder of `model get`; else the project's own model.")
    ] = None,
    log: Annotated[Path | None, typer.Option(help="Folder to log every answer in.")] = None,
) -> None:
    """Serve the model over HTTP, with a page to try it; a token in ESTEIRA_TOKEN guards it."""
    try:
        from esteira.serve.run import Settings, run
    except ModuleNotFoundError as error:
        if (error.name or "").startswith("esteira"):
            raise
        raise UserError(
            f"the service needs {error.name}, of the extra `serve`: `uv run --extra serve esteira"
            " serve`."
        ) from None
    run(Settings(host, port, workers, model, log))


log = typer.Typer(
    no_args_is_help=True,
    help="The log of the service's answers: compact it, label it, make a batch of it.",
    epilog="Example: uv run esteira log compact",
)
app.add_typer(log, name="log", rich_help_panel=USE)
LogFolder = Annotated[
    Path, typer.Option("--log", help="The folder that `esteira serve --log` was given.")
]
LOGS = Path("logs")


@log.command("compact", epilog="Example: uv run esteira log compact --log logs")
def compact_log(folder: LogFolder = LOGS) -> None:
    """Turn closed segments into Parquet, and copy what open ones hold so far."""
    from esteira.log.compact import compact

    with working("Compacting"):
        compacted = compact(folder)
    print(compacted.says())


@log.command("label", epilog="Example: uv run esteira log label outcomes.csv --log logs")
def label_log(
    labels: Annotated[Path, typer.Argument(help="A table of identifiers and the target.")],
    folder: LogFolder = LOGS,
) -> None:
    """Join labels that came later to the answered rows, by identifier or `request`."""
    from esteira.log.labels import label

    print(label(labels, folder).says())


@log.command("batch", epilog="Example: uv run esteira log batch data/raw/week.parquet --last 5000")
def batch_of_log(
    out: Annotated[Path, typer.Argument(help="Where to write it: .parquet.")],
    folder: LogFolder = LOGS,
    since: Annotated[datetime | None, typer.Option(help="From this moment on, UTC.")] = None,
    until: Annotated[datetime | None, typer.Option(help="Before this moment, UTC.")] = None,
    last: Annotated[int | None, typer.Option(min=1, help="The newest so many rows.")] = None,
    answers: Annotated[bool, typer.Option("--answers", help="With the model's answers.")] = False,
) -> None:
    """Write answered rows, with the labels that have come, as a batch for the drift check."""
    from esteira.log.answered import Window, make_batch

    print(make_batch(out, folder, Window(since, until, last), answers).says())


watch = typer.Typer(
    no_args_is_help=True,
    help="Watch new batches: check the newest, and see that what follows is done once.",
    epilog="Example: uv run esteira watch check",
)
app.add_typer(watch, name="watch", rich_help_panel=DATA)
CHECK = Path(".report/drift")
CheckFile = Annotated[Path, typer.Argument(help="The facts that `watch check` wrote.")]


@watch.command("fetch", epilog="Example: uv run esteira watch fetch")
def fetch_batch() -> None:
    """Bring the batch that is watched, the newest where it is imported; print its path."""
    from esteira.watch.check import bring_batch

    print(bring_batch().as_posix())


@watch.command("check", epilog="Example: uv run esteira watch check .report/drift")
def check_batch(
    out: Annotated[Path, typer.Argument(help="Folder for the facts and the report.")] = CHECK,
    *,
    exit_status: Annotated[
        bool, typer.Option("--exit-status", help="Exit as `drift` does: 10 retrain, 11 rework, …")
    ] = False,
) -> None:
    """Check the batch against the version in use; fetches it and the profile, nothing else."""
    from esteira.drift.verdicts import BY_ACTION
    from esteira.watch.check import check

    found = check(out)
    reasons = [f"- {reason}" for reason in found.reasons] if exit_status else []
    print("\n".join([f"{found.action}: {found.advice}", *reasons]))
    print(f"Compared with {found.model}. Report: {out}/report.html")
    sys.exit(BY_ACTION[found.action].status if exit_status else 0)


@watch.command("tell", epilog="Example: uv run esteira watch tell .report/drift/watch.json")
def tell_of_check(found: CheckFile = CHECK / "watch.json") -> None:
    """Keep the check in the history, and in the project's one issue; only for the workflow."""
    from esteira.watch.tell import tell

    print(tell(found))


@watch.command("propose", epilog="Example: uv run esteira watch propose .report/drift/watch.json")
def propose_retrained(found: CheckFile = CHECK / "watch.json") -> None:
    """Offer the retrained model as the project's one pull request; only for the workflow."""
    from esteira.watch.propose import propose

    print(propose(found))


pull_request = typer.Typer(
    no_args_is_help=True,
    help="Report what a pull request moves.",
    epilog="Example: uv run esteira pull-request collect",
)
app.add_typer(pull_request, name="pull-request", rich_help_panel=PULL_REQUEST)
REPORT = ".report/report.json"
Report = Annotated[Path, typer.Argument(help="The facts that `collect` wrote.")]


@pull_request.command(epilog="Example: uv run esteira pull-request collect --base origin/main")
def collect(
    base: Annotated[
        str | None, typer.Option(help="Git revision to compare with; in CI the pull request's.")
    ] = None,
    output: Annotated[Path, typer.Option(help="Where to write the facts.")] = Path(REPORT),
) -> None:
    """Reproduce what is stale, and write what moved as JSON."""
    from esteira.page.words import counted
    from esteira.pull_request.collect import collect
    from esteira.repository import git

    uncommitted = git.changed() if git.is_repository() else []
    collect(base, output)
    print(f"Wrote {output}.")
    if uncommitted:
        files = counted(len(uncommitted), "file")
        print(f"Of the folder as it lies: {files} not committed yet, which CI will not see.")


@pull_request.command(epilog="Example: uv run esteira pull-request render")
def render(report: Report = Path(REPORT)) -> None:
    """Print the report as Markdown, as for the job summary."""
    from esteira.github.api import this_run
    from esteira.pull_request import facts, render
    from esteira.pull_request.view import Place

    red = os.environ.get("JOB_STATUS") == "failure"
    place = Place(run=this_run(), red=red)
    sys.stdout.write(render.render(facts.read(report), place, render.SUMMARY_BYTES))


@pull_request.command(epilog="Example: uv run esteira pull-request judge")
def judge(report: Report = Path(REPORT)) -> None:
    """Exit with 1, and say why in one sentence each, if the pull request must not be merged."""
    from esteira.pull_request import facts
    from esteira.pull_request.judge import refusals

    broken = refusals(facts.read(report))
    for reason in broken:
        print(f"pull-request: {reason}", file=sys.stderr)
    sys.exit(1 if broken else 0)


@pull_request.command(epilog="Example: uv run esteira pull-request post .report/report.json")
def post(report: Report = Path(REPORT)) -> None:
    """Post the report as one comment on its pull request; only for the comment workflow."""
    from esteira.pull_request.post import main

    print(main(report))


model = typer.Typer(
    no_args_is_help=True,
    help="Released versions of the model: which there are, and which is in use.",
    epilog="Example: uv run esteira model list",
)
app.add_typer(model, name="model", rich_help_panel=USE)
Tag = Annotated[str, typer.Argument(help="A version, or a tag such as model#prod#3.")]
Name = Annotated[str, typer.Argument(help="A version, such as v1.2.0.", metavar="VERSION")]
Stage = Annotated[str, typer.Argument(help="Where a version is used.")]


@model.command("list", epilog="Example: uv run esteira model list")
def list_versions() -> None:
    """List the versions, the highest first, with the metrics of the gates, and which is where."""
    from esteira.gate import EVALUATION, read_gates
    from esteira.release import versions as release
    from esteira.repository.releases import where_to_get_one

    known, where = release.overview()
    if not known:
        print(f"No version is here yet: {where_to_get_one()}.")
        return
    metrics = [rule.metric for rule in read_gates().rules if rule.file == EVALUATION]
    shown = Table("version", "in", "date", "commit", *metrics)
    for version in known:
        stages = ", ".join(stage for stage, there in where.items() if there.name == version.name)
        try:
            measured = {figure.name: figure.says() for figure in release.figures(version)}
        except UserError:  # a version without reports is listed all the same
            measured = {}
        values = [measured.get(metric, "–") for metric in metrics]
        shown.add_row(version.name, stages, version.date, version.commit[:10], *values)
    Console().print(shown)


@model.command(epilog="Example: uv run esteira model show v1.2.0")
def show(version: Name) -> None:
    """Show what a version is: metrics with 95 % intervals, data, commit, environment."""
    from esteira.release import versions as release

    card = release.card(version)
    shown = Table("what", "value", show_header=False)
    shown.add_row("version", f"{card.version.tag}, {card.version.date}")
    shown.add_row("in", ", ".join(card.stages) or "no stage")
    for figure in card.figures:
        shown.add_row(figure.name, escape(figure.says()))
    shown.add_row("model", card.model)
    shown.add_row("learnt from", escape(f"{card.learnt} of {card.source}"))
    shown.add_row("commit", card.version.commit)
    shown.add_row("environment", escape(card.environment))
    Console().print(shown)


@model.command(epilog="Example: uv run esteira model diff v1.1.0 v1.2.0")
def diff(before: Name, after: Name) -> None:
    """Say what two versions differ in: metrics, settings, data."""
    from esteira.release import versions as release

    changes = release.differences(before, after)
    if not changes:
        print(f"{before} and {after} do not differ.")
        return
    shown = Table("what", before, after)
    for change in changes:
        shown.add_row(*(escape(text) for text in (change.what, change.before, change.after)))
    Console().print(shown)


@model.command(epilog="Example: uv run esteira model get v1.2.0 --out served")
def get(
    version: Name,
    out: Annotated[Path, typer.Option(help="A new folder for them.")] = Path("released"),
) -> None:
    """Bring a version's model, drift profile and schema, from DVC's cache or the remote."""
    from esteira.release import versions as release

    found = release.get(version, out)
    print(f"{found.tag} is in {out}: model.skops, reference.json, schema.yaml, release.json.")


@model.command("check", epilog="Example: uv run esteira model check model@v1.2.0")
def check_version(
    tag: Tag,
    against: Annotated[str, typer.Option(help="Compare with what is in this stage.")] = "prod",
) -> None:
    """Judge a version by its gates and beside the one in use; exit with 1 if one says no."""
    from esteira.release.check import check

    checked = check(tag, against)
    print("\n".join(checked.says()))
    for reason in checked.refusals:
        print(f"release: {reason}", file=sys.stderr)
    sys.exit(1 if checked.refusals else 0)


@model.command("bundle", epilog="Example: uv run esteira model bundle v1.2.0 --out dist")
def bundle_version(
    version: Name,
    out: Annotated[Path, typer.Option(help="A new folder.")] = Path("dist"),
) -> None:
    """Put all that belongs to a version into a folder: model, schema, card, packages, hashes."""
    from esteira.release.bundle import bundle

    note = bundle(version, out)
    print(f"{note.tag} is in {out}.")


@model.command("publish", epilog="Example: uv run esteira model publish v1.2.0 --files dist")
def publish_version(
    version: Name,
    files: Annotated[Path, typer.Option(help="The folder that `bundle` wrote.")] = Path("dist"),
    checked: Annotated[Path, typer.Option(help="What `check` printed.")] = Path("check.txt"),
    attested: Annotated[
        bool, typer.Option("--attested", envvar="ATTESTED", help="GitHub attests them.")
    ] = False,
) -> None:
    """Publish a version's files as a release of GitHub; only for the workflow."""
    from esteira.release.publish import publish

    print(publish(version, files, checked, attested))


@model.command(epilog="Example: uv run esteira model promote v1.2.0 prod")
def promote(version: Name, stage: Stage = "prod") -> None:
    """Put a version into use, where its own gates let it: one tag, which you push."""
    from esteira.release import versions as release

    found, tag = release.promote(version, stage)
    if tag:
        print(f"{found.name} is in {stage}. Tell others: git push origin '{tag}'")
    else:
        print(f"{found.name} is in {stage} already.")


@model.command(epilog="Example: uv run esteira model rollback prod")
def rollback(stage: Stage = "prod") -> None:
    """Put the version back that was in use before: one tag, nothing is rebuilt."""
    from esteira.release import versions as release

    found, tag = release.rollback(stage)
    print(f"{found.name} is in {stage} again. Tell others: git push origin '{tag}'")


notebook = typer.Typer(
    no_args_is_help=True,
    help="Notebooks as code: without outputs, and run from top to bottom.",
    epilog="Example: uv run esteira notebook check",
)
app.add_typer(notebook, name="notebook", rich_help_panel=PROJECT)
Notebooks = Annotated[
    list[str] | None, typer.Argument(help="Files or folders; all that Git tracks.", metavar="PATHS")
]


@notebook.command("check", epilog="Example: uv run esteira notebook check notebooks")
def check_notebooks(
    paths: Notebooks = None,
    *,
    staged: Annotated[
        bool, typer.Option("--staged", help="What the next commit holds; for the hook.")
    ] = False,
) -> None:
    """Exit with 1 if an .ipynb file holds outputs, or cannot be read."""
    from esteira.notebook import files

    if staged and paths:
        raise UserError("say either PATHS or --staged.")
    looked_at = files.staged() if staged else files.to_check(paths or [])
    found = files.faults(looked_at)
    for fault in found:
        print(f"notebook: {fault}", file=sys.stderr)
    if not found:
        number = len(looked_at)
        print(f"{number} .ipynb {'file' if number == 1 else 'files'} looked at: no outputs.")
    sys.exit(1 if found else 0)


@notebook.command("strip", epilog="Example: uv run esteira notebook strip notebooks/ages.ipynb")
def strip_notebooks(paths: Notebooks = None) -> None:
    """Take outputs, execution counts and the like out of .ipynb files, and nothing else."""
    from esteira.notebook import files

    done = files.strip(files.to_check(paths or []))
    print("\n".join(done) or "There was nothing to take out.")


@notebook.command("run", epilog="Example: uv run esteira notebook run notebooks/explore.py")
def run_notebooks(
    paths: Annotated[
        list[str] | None,
        typer.Argument(help="notebooks/*.py and .ipynb files; all of them.", metavar="PATHS"),
    ] = None,
    *,
    touched: Annotated[
        bool, typer.Option("--touched", help="Only those that this branch changes.")
    ] = False,
    pull: Annotated[
        bool,
        typer.Option(
            "--pull",
            help="First bring the data that they name; without a remote, make it.",
        ),
    ] = False,
) -> None:
    """Run notebooks from top to bottom, without a screen; exit with 1 if one stops."""
    from esteira.notebook import run as room

    found = room.find(paths or [])
    chosen = room.touched(found) if touched else found
    if not chosen:
        print("This branch changes no notebook." if found else "There is no notebook.")
        return
    lacking = room.absent(chosen)
    if pull:
        room.bring(each for data in lacking.values() for each in data)
        lacking = room.absent(chosen)
    stopped = 0
    for path in chosen:
        with working(f"Running {path}"):
            ran = room.run(path, lacking[path])
        if ran.fault:
            stopped += 1
            print(f"notebook: {ran.fault}", file=sys.stderr)
        else:
            print(f"{path} ran to its end in {ran.seconds:.1f} s.")
    sys.exit(1 if stopped else 0)


stage = typer.Typer(
    no_args_is_help=True,
    help="Run one stage of the line in a clone of its own, beside others.",
    epilog="Example: uv run esteira stage run train",
)
app.add_typer(stage, name="stage", rich_help_panel=BESIDE)


@stage.command("run", epilog="Example: uv run esteira stage run train")
def run_stage(
    name: Annotated[str, typer.Argument(help="A stage of dvc.yaml.", metavar="STAGE")],
) -> None:
    """Run one stage on what other clones of this commit ran, and hand it over to the next."""
    from esteira.export import one_stage

    print(f"{name}: {one_stage.run(name).says()}")


@stage.command("collect", epilog="Example: uv run esteira stage collect")
def collect_stages() -> None:
    """Write the whole dvc.lock of what clones of this commit ran; run what is missing."""
    from esteira.export import one_stage

    print(f"dvc.lock: {one_stage.collect().says()}")


export = typer.Typer(
    no_args_is_help=True,
    help="Write the line for the tool that runs your jobs: GitHub, Airflow, Kubernetes, Argo …",
    epilog="Example: uv run esteira export github",
)
app.add_typer(export, name="export", rich_help_panel=BESIDE)


@export.command("graph", epilog="Example: uv run esteira export graph")
def export_graph() -> None:
    """Print the stages of dvc.yaml, and which comes after which, as JSON."""
    import json

    from esteira.export import graph

    print(json.dumps(graph.read().as_json(), indent=2, ensure_ascii=False))


Check = Annotated[
    bool, typer.Option("--check", help="Write nothing; exit with 1 if it is not up to date.")
]


def write_or_check(kind: str, check: bool) -> None:
    """Write exported files, or say whether they are what dvc.yaml gives, and exit."""
    from esteira.export import files

    if not check:
        print(f"Wrote {' and '.join(map(str, files.write(kind)))}.")
        return
    wrong = files.check(kind)
    if wrong:
        print(f"export: {wrong}", file=sys.stderr)
        sys.exit(1)
    for path in files.KINDS[kind].paths():
        print(f"{path} is up to date.")


@export.command("github", epilog="Example: uv run esteira export github --check")
def export_github(*, check: Check = False) -> None:
    """Write .github/workflows/line.yml: a job for each stage, and one that commits dvc.lock."""
    write_or_check("github", check)


@export.command("kubernetes", epilog="Example: uv run esteira export kubernetes --check")
def export_kubernetes(*, check: Check = False) -> None:
    """Write deploy/kubernetes/: a Job that runs the line, a CronJob that checks the new batch."""
    write_or_check("kubernetes", check)


@export.command("argo", epilog="Example: uv run esteira export argo --check")
def export_argo(*, check: Check = False) -> None:
    """Write deploy/argo.yaml: a workflow with a task for each stage, and one that collects."""
    write_or_check("argo", check)


@export.command("airflow", epilog="Example: uv run esteira export airflow --check")
def export_airflow(*, check: Check = False) -> None:
    """Write dags/PROJECT.py: a DAG with a task for each stage, and one that collects."""
    write_or_check("airflow", check)


@export.command("kubeflow", epilog="Example: uv run esteira export kubeflow --check")
def export_kubeflow(*, check: Check = False) -> None:
    """Write deploy/kubeflow.yaml: a compiled pipeline, with a task for each stage, and one last."""
    write_or_check("kubeflow", check)


remote = typer.Typer(
    no_args_is_help=True,
    help="Check the DVC remote.",
    epilog="Example: uv run esteira remote check",
)
app.add_typer(remote, name="remote", rich_help_panel=TRUST)


@app.command(rich_help_panel=USE, epilog="Example: uv run esteira mlflow")
def mlflow() -> None:
    """Mirror the line into the MLflow that MLFLOW_TRACKING_URI names; exit with 2 if it fails."""
    from esteira.tracking.mirror import mirror

    with working("Sending to MLflow"):
        sent = mirror()
    print(sent.says())


@app.command(
    "new-stage",
    rich_help_panel=PROJECT,
    epilog="Example: uv run esteira new-stage clean_text --after validate",
)
def new_stage(
    name: Annotated[str, typer.Argument(help="Lower-case letters, digits and underscores.")],
    after: Annotated[str, typer.Option(help="The stage whose output it reads.")],
) -> None:
    """Make a stage of your own: module, settings, entry in dvc.yaml, test."""
    from esteira.stage_of_own.stages import new

    print(new(name, after))


@app.command(
    "remove-stage",
    rich_help_panel=PROJECT,
    epilog="Example: uv run esteira remove-stage clean_text",
)
def remove_stage(name: Annotated[str, typer.Argument(help="A stage of dvc.yaml.")]) -> None:
    """Take a stage and all of its files away, where Git has them and nobody reads its outputs."""
    from esteira.stage_of_own.stages import remove

    print(remove(name))


@remote.command(epilog="Example: uv run esteira remote check")
def check() -> None:
    """Say in about a second what is wrong with the remote's credentials, bucket or endpoint."""
    from esteira.repository.remote import check

    print(check())


@app.command(rich_help_panel=PROJECT, epilog="Example: uv run esteira update --dry-run")
def update(
    to: Annotated[
        str | None, typer.Option(help="Version, branch or commit; the newest release unless told.")
    ] = None,
    template: Annotated[
        str | None,
        typer.Option(
            help="Folder of the template, taken as it lies, or its address; the recorded one."
        ),
    ] = None,
    answers: Annotated[
        Path | None,
        typer.Option(
            help="For a project without .esteira.json: that of another with the same answers."
        ),
    ] = None,
    out: Annotated[
        Path | None, typer.Option(help="Put the update into this folder; for the workflow.")
    ] = None,
    *,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Say what would be done, and touch nothing.")
    ] = False,
) -> None:
    """Merge a newer version of the template into this branch; exit with 1 if files conflict.

    vendor/ and constraints.txt are replaced, uv.lock is locked anew, what the line made is left,
    and all else is merged line by line, dvc.yaml also stage by stage.
    """
    from esteira.update import pack, say, update

    wanted = update.Wanted(to or None, template or None, answers)
    with ExitStack() as opened:
        with working("Fetching the template, and rendering it with your answers"):
            coming = opened.enter_context(update.opened(wanted, dry_run or out is not None))
        if out:
            print(pack.pack(coming, out))
        elif not coming.is_new:
            print(say.nothing_new(coming))
        else:
            print(say.coming(coming), end="\n\n", flush=True)
            with working("Merging"):
                merged = update.try_out(coming)
            if dry_run:
                print(say.tried(coming, merged))
                return
            done = update.carry_out(coming, merged)
            print(say.done(coming, done))
            sys.exit(1 if merged.conflicts else 0)


@app.command(
    "propose-update",
    rich_help_panel=PROJECT,
    epilog="Example: uv run esteira propose-update .report/update",
)
def propose_update(
    folder: Annotated[Path, typer.Argument(help="The folder that `update --out` wrote.")],
) -> None:
    """Offer an update as the project's one pull request of the kind; only for the workflow."""
    from esteira.update.propose import propose

    print(propose(folder))


def main() -> None:
    """Run a command; tell what went wrong in one sentence, with exit status 2."""
    gc.set_threshold(10_000)  # what is imported stays: to look for garbage in it finds none
    os.environ.setdefault("MIMALLOC_ARENA_RESERVE", "64MiB")  # see line/__main__.py
    try:
        app()
    except UserError as error:
        print(f"esteira: {error}", file=sys.stderr)
        sys.exit(2)
    except BrokenPipeError:  # whoever read what this prints has left
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(2)
    except OSError as error:
        sentence = of_the_disk(error, again="run this again") or f"{error}."
        print(f"esteira: {sentence}", file=sys.stderr)
        sys.exit(2)
    except MemoryError:
        print("esteira: this takes more memory than there is.", file=sys.stderr)
        sys.exit(2)
    except KeyboardInterrupt:
        print("esteira: stopped.", file=sys.stderr)
        sys.exit(130)
