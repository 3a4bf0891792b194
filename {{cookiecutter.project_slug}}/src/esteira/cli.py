"""The project's commands: `uv run esteira …`. Each imports the room it needs, when it is called."""

import sys
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from esteira.errors import UserError

app = typer.Typer(no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False)


@app.callback()
def commands() -> None:
    """The toolbox of the project: gates and checks beside the line that `dvc repro` runs."""


@app.command()
def gate(
    base: Annotated[
        str | None, typer.Option(help="Git revision to compare with, such as origin/main.")
    ] = None,
) -> None:
    """Judge the committed metrics by gates.yaml; exit with 1 if a rule is broken."""
    from esteira.gate import judge_all

    verdicts = judge_all(base)
    table = Table("metric", "better", "base", "now", "limit", "verdict")
    for v in verdicts:
        cells = ("" if c is None else c if isinstance(c, str) else f"{c:g}" for c in v[2:5])
        table.add_row(v.metric, v.better, *cells, "[red]no[/]" if v.reason else "[green]yes[/]")
    Console().print(table)
    broken = [v.reason for v in verdicts if v.reason]
    for reason in broken:
        print(f"gate: {reason}", file=sys.stderr)
    sys.exit(1 if broken else 0)


@app.command()
def drift(
    reference: Annotated[
        str, typer.Argument(help="Table, or profile such as models/reference.json.")
    ],
    current: Annotated[str, typer.Argument(help="Table to check against it.")],
    target: Annotated[str | None, typer.Option(help="Column that the model predicts.")] = None,
    predictions: Annotated[str | None, typer.Option(help="Column with its predictions.")] = None,
    out: Annotated[str, typer.Option(help="Folder for the figures and the report.")] = "drift",
    fast: Annotated[bool, typer.Option("--fast", help="Leave out the domain classifier.")] = False,
) -> None:
    """Check a table for drift; exit with 0 keep, 10 retrain, 11 rework, 2 unusable."""
    from esteira.drift import check

    found = check.compare_files(reference, current, target, predictions, out, fast)
    print(f"{found['action']}: {found['advice']}", *found["reasons"], *found["notes"], sep="\n  ")
    sys.exit(check.EXITS[found["action"]])


def main() -> None:
    """Run a command; tell a user's mistake in one sentence, with exit status 2."""
    try:
        app()
    except UserError as error:
        print(f"esteira: {error}", file=sys.stderr)
        sys.exit(2)
