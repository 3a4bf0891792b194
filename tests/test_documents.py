"""Documents are true: their commands exist and are run by a test, their links lead somewhere."""

import json
import re
import shlex
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest
import typer
from helpers import ROOT, TEMPLATE, bake

sys.path.insert(0, str(ROOT / "scripts"))

from readme import PAGES, fill

from esteira.cli import app

BESIDE = (TEMPLATE / "vendor/README.md", TEMPLATE / ".github/SETUP.md")
PROJECT = sorted([*TEMPLATE.glob("*.md"), *TEMPLATE.glob("docs/*.md"), *BESIDE])
OURS = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/*.md")])
ALL = [*OURS, *PROJECT]
TESTS = [path.read_text("utf-8") for path in (ROOT / "tests").rglob("*.py")]
# Programs of others, whose commands are no claims of ours.
OTHERS = {"cd", "git", "gh", "aws", "curl", "uvx", "uv", "python", "#", "JSON"}
OTHERS |= {"{deployment_branch_policy:", "{reviewers:"}
TWO_SCREENS = 90  # lines


@dataclass(frozen=True)
class Command:
    """A command in a block of a document."""

    page: str
    words: tuple[str, ...]

    def __str__(self) -> str:
        """Say it as it stands there."""
        return f"{self.page}: {' '.join(self.words)}"


def name_of(page: Path) -> str:
    return page.relative_to(ROOT).as_posix().replace(TEMPLATE.name, "project")


def commands() -> list[Command]:
    """Return every command of the documents' blocks, without comments and what follows `&&`."""
    found = []
    for page in ALL:
        text = re.sub(r"\{%.*?%\}", "", page.read_text("utf-8"))
        text = re.sub(r"\{\{ '(.*?)' if .*? \}\}", r"\1", text)
        for block in re.findall(r"```(?:console|sh)\n(.*?)```", text, re.DOTALL):
            for line in block.splitlines():
                for part in line.split(" && "):
                    words = shlex.split(part, comments=True)
                    while words and re.match(r"[A-Z_]+=", words[0]):  # a variable for it
                        words = words[1:]
                    if words:
                        found.append(Command(name_of(page), tuple(words)))
    return found


def of_program(*start: str) -> list[Command]:
    """Return the commands that begin with these words, less them; `uv run` may have options."""
    rest = []
    for command in commands():
        words = [*command.words]
        if words[:2] == ["uv", "run"]:
            words = words[2:]
            while words and words[0] in ("--extra", "--project", "--with"):
                words = words[2:]
        if tuple(words[: len(start)]) == start:
            rest.append(Command(command.page, tuple(words[len(start) :])))
    return rest


ESTEIRA = of_program("esteira")
DVC = of_program("dvc")
MAKE = of_program("make")


def test_there_are_commands_to_look_at() -> None:
    assert min(len(ESTEIRA), len(DVC), len(MAKE)) > 8
    unknown = {c.words[0] for c in commands()} - OTHERS - {"make", "esteira", "dvc"}
    assert not unknown


@pytest.mark.parametrize("command", ESTEIRA, ids=str)
def test_a_command_of_ours_takes_what_the_document_gives_it(command: Command) -> None:
    found = typer.main.get_command(app)
    words, path = list(command.words), []
    while hasattr(found, "commands") and words and words[0] in found.commands:
        path.append(words.pop(0))
        found = found.commands[path[-1]]
    assert path, f"{command} is no command"
    if words != ["--help"] and "COMMAND" not in command.words:
        found.make_context("esteira", words)
    called = ["esteira", *path]
    assert any(all(f'"{word}"' in text for word in called) for text in TESTS), "no test runs it"


@pytest.mark.parametrize("command", DVC, ids=str)
def test_a_command_of_dvc_is_run_by_a_test(command: Command) -> None:
    called = ("dvc", command.words[0])
    assert any(all(f'"{word}"' in text for word in called) for text in TESTS), "no test runs it"


@pytest.mark.parametrize("command", MAKE, ids=str)
def test_a_target_of_make_exists(command: Command) -> None:
    house = TEMPLATE if command.page.startswith("project") else ROOT
    makefile = (house / "Makefile").read_text("utf-8")
    target = next(word for word in command.words if "=" not in word)
    assert re.search(rf"^[^\n:=]*\b{re.escape(target)}\b[^\n:=]*:", makefile, re.MULTILINE)


def anchors(text: str) -> set[str]:
    """Return the anchors that GitHub makes of a page's headings."""
    headings = re.findall(r"^#+ (.+)$", text, re.MULTILINE)
    plain = [re.sub(r"[`*]|\[|\]\(.*?\)", "", heading).lower() for heading in headings]
    return {re.sub(r"[^\w\- ]", "", heading).replace(" ", "-") for heading in plain}


def test_links_lead_somewhere(tmp_path: Path) -> None:
    project = bake(tmp_path)
    pages = [*OURS, *(project / page.relative_to(TEMPLATE) for page in PROJECT)]
    assert len(pages) > 12
    for page in pages:
        text = page.read_text("utf-8")
        for link in re.findall(r"\]\(([^)\s]+)\)", text):
            if ":" in link:
                continue
            path, _, anchor = link.replace("%7B", "{").replace("%7D", "}").partition("#")
            there = page.parent / path if path else page
            assert there.exists(), f"{page}: {link}"
            assert not anchor or anchor in anchors(there.read_text("utf-8")), f"{page}: {link}"


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_the_tables_are_those_of_the_last_measurement(page: Path) -> None:
    text = page.read_text("utf-8")
    assert fill(text) == text, "run `python scripts/readme.py`"


def test_figures_of_the_short_table_are_those_of_the_long_ones() -> None:
    measured = (ROOT / "docs/benchmarks.md").read_text("utf-8")
    rows = re.findall(r"\| ([^|]+) \| `make benchmark", (ROOT / "README.md").read_text("utf-8"))
    assert len(rows) >= 5
    for figure in rows:
        for number in re.findall(r"\d+(?:\.\d+)?", figure):
            assert re.search(rf"(?<![\d.]){re.escape(number)}(?![\d.]*\d)", measured), figure


@pytest.mark.parametrize("name", ["data-scientist", "ml-engineer", "reviewer", "maintainer"])
def test_a_page_for_a_reader_is_no_longer_than_two_screens(name: str) -> None:
    (page,) = [page for page in ALL if page.stem == name]
    assert len(page.read_text("utf-8").splitlines()) <= TWO_SCREENS


@pytest.mark.parametrize("page", ALL, ids=name_of)
def test_nothing_is_left_to_be_filled_in(page: Path) -> None:
    text = page.read_text("utf-8")
    assert not re.search(r"TODO|TBD|FIXME|<!-- results: \w+ -->\n<!-- end -->", text)


PAIRS = [(house / "README.md", house / "README.pt-BR.md") for house in (ROOT, TEMPLATE)]


def levels(text: str) -> list[int]:
    """Return how deep each heading is, in order."""
    outside = re.sub(r"```.*?```", "", text, flags=re.DOTALL)
    return [len(marks) for marks in re.findall(r"^(#+) ", outside, re.MULTILINE)]


def blocks(text: str) -> list[list[list[str]]]:
    """Return the commands of each block, without their comments."""
    found = re.findall(r"```(?:console|sh|toml)\n(.*?)```", text, re.DOTALL)
    lines = [[re.split(r"\s#\s|^#\s", line)[0].split() for line in b.splitlines()] for b in found]
    return [[words for words in block if words] for block in lines]


@pytest.mark.parametrize(("english", "portuguese"), PAIRS, ids=["template", "project"])
def test_the_portuguese_page_has_the_same_sections_and_commands(
    english: Path, portuguese: Path
) -> None:
    ours, theirs = (page.read_text("utf-8") for page in (english, portuguese))
    assert levels(theirs) == levels(ours)
    assert blocks(theirs) == blocks(ours)
    first_cells = [re.findall(r"^\| (`[^|]+`)[^|]* \|", t, re.MULTILINE) for t in (ours, theirs)]
    assert len(first_cells[1]) == len(first_cells[0])
    named = [sorted(re.findall(r"`esteira ([a-z -]+)`", text)) for text in (ours, theirs)]
    assert named[1] == named[0]
    links = [sorted(re.findall(r"\]\(([^)]+)\)", text)) for text in (ours, theirs)]
    pages = {"README.md", "README.pt-BR.md"}
    linked = [[link for link in of if link.split("/")[-1] not in pages] for of in links]
    assert linked[1] == linked[0]


def test_the_questions_are_asked_in_both_languages() -> None:
    asked = json.loads((ROOT / "cookiecutter.json").read_text("utf-8"))["__prompts__"]
    assert all(question.count(" · ") == 1 for question in asked.values())
