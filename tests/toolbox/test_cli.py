"""The command line: every command is in the manual, and has help with an example that parses."""

import re
import shlex

import click
import pytest
import typer
from helpers import TEMPLATE
from typer.testing import CliRunner

from esteira.cli import app

MANUAL = (TEMPLATE / "README.md").read_text(encoding="utf-8")
ROOT: click.Command = typer.main.get_command(app)


def commands(command: click.Command, *path: str) -> dict[str, click.Command]:
    """Return every command and group below `command`, by its words."""
    children = getattr(command, "commands", {})
    found = {" ".join(path): command} if path else {}
    for name, child in children.items():
        found |= commands(child, *path, name)
    return found


COMMANDS = commands(ROOT)
LEAVES = {name: command for name, command in COMMANDS.items() if not hasattr(command, "commands")}
PANELS = ["The line", "Data", "Trust", "Use", "The project", "Pull requests", "Beside"]


def parse(line: str) -> str:
    """Parse `uv run esteira …` without running it; return the words of its command."""
    words = shlex.split(line.replace("uv run --extra serve ", "uv run "), comments=True)
    assert words[:3] == ["uv", "run", "esteira"], line
    command, arguments, path = ROOT, words[3:], []
    while hasattr(command, "commands"):
        path.append(arguments.pop(0))
        command = command.commands[path[-1]]
    command.make_context(path[-1], arguments)  # raises for an option or a value it does not know
    return " ".join(path)


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_help_with_an_example_that_parses(name: str) -> None:
    shown = CliRunner().invoke(app, [*name.split(), "--help"], env={"COLUMNS": "200"})
    assert shown.exit_code == 0
    example = re.search(r"^ Example: (.*?) *$", shown.output, re.MULTILINE)
    assert example, shown.output
    assert f"{parse(example[1])} ".startswith(f"{name} ")
    assert len(str(COMMANDS[name].help).split()) > 3


@pytest.mark.parametrize("name", LEAVES)
def test_every_command_is_in_the_manual(name: str) -> None:
    assert f"`esteira {name}`" in MANUAL


def test_the_manual_names_no_command_that_is_not_there() -> None:
    assert set(re.findall(r"\| `esteira ([a-z -]+)` \|", MANUAL)) == set(LEAVES)


LINES = re.findall(r"^(uv run esteira .*)$", MANUAL, re.MULTILINE)


@pytest.mark.parametrize("line", LINES)
def test_what_the_manual_says_to_type_parses(line: str) -> None:
    assert parse(line) in LEAVES


def test_alone_it_shows_the_commands_by_purpose() -> None:
    shown = CliRunner().invoke(app, [], env={"COLUMNS": "200"}).output
    titles = re.findall(r"╭─ (.*?) ─+╮", shown)
    assert [title.partition(":")[0] for title in titles] == ["Options", *PANELS]
    for name in COMMANDS:
        assert re.search(rf"^│ {name.split()[0]} ", shown, re.MULTILINE), name
