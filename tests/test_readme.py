"""What the READMEs promise is there: measured tables, files they link to, commands they name."""

import re
import sys
from pathlib import Path

import pytest
from helpers import ROOT, TEMPLATE, bake, run

sys.path.insert(0, str(ROOT / "scripts"))

from readme import MANUAL, SIZE, fill, sizes

README = (ROOT / "README.md").read_text(encoding="utf-8")


def links(text: str) -> set[str]:
    """Return the relative links of a Markdown text."""
    found = re.findall(r"\]\(([^)#]+)\)", text)
    return {link.replace("%7B", "{").replace("%7D", "}") for link in found if ":" not in link}


def test_the_tables_are_those_of_the_last_measurement() -> None:
    assert fill(README) == README, "run `python scripts/readme.py`"


@pytest.mark.parametrize("page", [ROOT / "README.md", MANUAL])
def test_it_says_how_much_a_squad_gets(page: Path) -> None:
    own, toolbox = sizes()
    assert own.lines < 2900, "a squad's own part is to stay small"
    said = SIZE.findall(page.read_text(encoding="utf-8"))
    told = [int(number.replace(",", "")) for pair in said for number in pair]
    counted = [own.files, own.lines, toolbox.files, toolbox.lines]
    assert told == pytest.approx(counted, rel=0.1), "run `python scripts/readme.py`"


def test_every_make_command_exists() -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    named = set(re.findall(r"\bmake ([a-z][a-z-]+)", README))
    assert {"demo", "test"} <= named
    assert {name for name in named if not re.search(rf"^{name}:", makefile, re.MULTILINE)} == set()


def test_links_lead_somewhere(tmp_path: Path) -> None:
    project = bake(tmp_path)
    pages = [ROOT / name for name in ("README.md", "CONTRIBUTING.md", "SECURITY.md")]
    pages += [project / name for name in ("README.md", "vendor/README.md", ".github/SETUP.md")]
    for page in pages:
        for link in links(page.read_text(encoding="utf-8")):
            assert (page.parent / link).exists(), f"{page}: {link}"


def test_every_command_of_the_manual_exists(reproduced: Path) -> None:
    manual = (TEMPLATE / "README.md").read_text(encoding="utf-8")
    named = set(re.findall(r"uv run esteira ([a-z-]+)", manual))
    shown = run(reproduced, "esteira", "--help").stdout
    assert named >= {"gate", "adopt", "drill", "drift", "verify", "doctor", "pull-request"}
    for command in named:
        assert re.search(rf"^│ {command} ", shown, re.MULTILINE), command


@pytest.mark.parametrize("page", [ROOT / "README.md", TEMPLATE / "README.md"])
def test_no_line_is_left_to_be_filled_in(page: Path) -> None:
    assert not re.search(
        r"TODO|TBD|FIXME|<!-- results: \w+ -->\n<!-- end -->", page.read_text("utf-8")
    )
