"""dvc.yaml is merged by its stages: what both sides added beside each other is no conflict."""

from pathlib import Path

import pytest

from esteira.update import by_stage

HEAD = "# The line.\nstages:\n"
INGEST = "  ingest:\n    cmd: python -m esteira.line ingest\n    outs:\n      - data/a.parquet\n"
TRAIN = "  train:\n    cmd: python -m esteira.line train\n    deps:\n      - data/a.parquet\n"
AUDIT = "  # Who is asked about what.\n  audit:\n    cmd: python -m esteira.line audit\n"
SIGN = "  sign:\n    cmd: python -m esteira.line sign\n"
PLOTS = "# What is drawn.\nplots:\n  - reports/roc.json:\n      x: x\n"


def line(*stages: str, after: str = PLOTS) -> bytes:
    return (HEAD + "\n".join(stages) + (f"\n{after}" if after else "")).encode()


BASE = line(INGEST, TRAIN)


@pytest.mark.parametrize("after", [PLOTS, ""])
def test_stages_that_both_added_in_one_place_stand_below_each_other(after: str) -> None:
    base = line(INGEST, TRAIN, after=after)
    ours, theirs = line(INGEST, TRAIN, SIGN, after=after), line(INGEST, TRAIN, AUDIT, after=after)
    assert by_stage.merged(base, ours, theirs) == line(INGEST, TRAIN, AUDIT, SIGN, after=after)


def test_a_stage_comes_behind_the_one_that_it_was_added_behind() -> None:
    ours, theirs = line(INGEST, SIGN, TRAIN), line(INGEST, AUDIT, TRAIN)
    assert by_stage.merged(BASE, ours, theirs) == line(INGEST, AUDIT, SIGN, TRAIN)


def test_other_lines_of_one_stage_are_both_taken() -> None:
    cleaner = INGEST.replace("ingest\n    outs", "clean\n    outs")
    ours = line(cleaner, TRAIN, SIGN)
    theirs = line(f"{INGEST}      - data/b.parquet\n", TRAIN, AUDIT)
    assert by_stage.merged(BASE, ours, theirs) == line(
        f"{cleaner}      - data/b.parquet\n", TRAIN, AUDIT, SIGN
    )


def test_what_one_side_removed_is_gone_and_what_comes_below_the_stages_is_merged() -> None:
    drawn = PLOTS.replace("roc", "curve")
    ours, theirs = line(INGEST, SIGN), line(INGEST, TRAIN, AUDIT, after=drawn)
    assert by_stage.merged(BASE, ours, theirs) == line(INGEST, AUDIT, SIGN, after=drawn)


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        (line(INGEST, TRAIN.replace("a.", "x.")), line(INGEST, TRAIN.replace("a.", "y."))),
        (line(INGEST), line(INGEST, TRAIN.replace("a.", "y."))),
        (line(INGEST, TRAIN, SIGN), line(INGEST, TRAIN, SIGN.replace("sign\n", "seal\n"))),
        (line(INGEST, TRAIN, after="plots: []\n"), line(INGEST, TRAIN, after="")),
        (line(INGEST, TRAIN, SIGN), b"stages: {train: {cmd: x}}\n"),
        (line(INGEST, TRAIN, SIGN), b"stages:\n\nplots: []\n"),
        (line(INGEST, TRAIN, SIGN), b"stages:\n"),
        (line(INGEST, TRAIN, SIGN), line(INGEST, TRAIN, "  audit: [\n")),
        (line(INGEST, TRAIN, SIGN), b"\xff\xfe"),
    ],
)
def test_a_true_conflict_is_left_to_be_settled_line_by_line(ours: bytes, theirs: bytes) -> None:
    assert by_stage.merged(BASE, ours, theirs) is None


def test_the_templates_own_line_gets_the_stages_of_both(reproduced: Path) -> None:
    text = (reproduced / "dvc.yaml").read_text(encoding="utf-8")
    below = "\nartifacts:\n"
    assert text.count(below) == 1
    sides = [text.replace(below, f"\n{stage}{below}").encode() for stage in (SIGN, AUDIT)]
    expected = text.replace(below, f"\n{AUDIT}\n{SIGN}{below}").encode()
    assert by_stage.merged(text.encode(), *sides) == expected
