"""What the READMEs promise is there: how much a squad gets, and the commands they name."""

import re
import sys
from pathlib import Path

import pytest
from helpers import ROOT, TEMPLATE, run

sys.path.insert(0, str(ROOT / "scripts"))

from readme import MANUAL, SIZE, sizes

README = (ROOT / "README.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("page", [ROOT / "README.md", MANUAL])
def test_it_says_how_much_a_squad_gets(page: Path) -> None:
    own, toolbox = sizes()
    assert own.lines < 4200, "a squad's own part is to stay small"
    said = SIZE.findall(page.read_text(encoding="utf-8"))
    told = [int(number.replace(",", "")) for pair in said for number in pair]
    counted = [own.files, own.lines, toolbox.files, toolbox.lines]
    assert told == pytest.approx(counted, rel=0.1), "run `python scripts/readme.py`"


def test_every_make_command_exists() -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    named = set(re.findall(r"\bmake ([a-z][a-z-]+)", README))
    assert {"demo", "test"} <= named
    assert {name for name in named if not re.search(rf"^{name}:", makefile, re.MULTILINE)} == set()


def test_every_command_of_the_manual_exists(reproduced: Path) -> None:
    manual = (TEMPLATE / "README.md").read_text(encoding="utf-8")
    named = set(re.findall(r"uv run esteira ([a-z-]+)", manual))
    shown = run(reproduced, "esteira", "--help").stdout
    assert named >= {"gate", "adopt", "drill", "drift", "verify", "doctor", "pull-request"}
    for command in named:
        assert re.search(rf"^│ {command} ", shown, re.MULTILINE), command
