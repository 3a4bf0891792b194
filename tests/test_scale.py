"""What grows with what is measured by a benchmark; its parts are right, and its page is true."""

import sys
from pathlib import Path

import pytest
from helpers import ROOT, surroundings

sys.path.insert(0, str(ROOT / "benchmarks"))

import scale
import scale_cost
import scale_drawn
import scale_fit
import scale_made

SIZES = (10_000, 100_000, 1_000_000, 3_000_000, 10_000_000)
# A process that ends before the one it started, which works and holds memory.
ORPHAN = """
import subprocess, sys
work = "import time; held = bytearray(200_000_000)\\nwhile time.process_time() < 0.6: pass"
subprocess.Popen([sys.executable, "-c", work])
if "--wait" in sys.argv: import time; time.sleep(1.5)
"""


@pytest.mark.parametrize("power", [0.5, 1.0, 1.3])
def test_the_power_of_a_cost_is_found_beside_what_every_run_costs(power: float) -> None:
    costs = [1.2 + 3e-6 * size**power for size in SIZES]
    found = scale_fit.curve(SIZES, costs)
    assert found.power == pytest.approx(power, abs=0.02)
    assert found.at(SIZES[-1]) == pytest.approx(costs[-1], rel=0.02)
    assert found.low <= found.power <= found.high


def test_what_hardly_differs_does_not_grow() -> None:
    assert not scale_fit.grows([1.0, 1.4, 1.2])
    assert scale_fit.grows([1.0, 1.1, 1.4])


@pytest.mark.parametrize("words", [[], ["--wait"]])
def test_cpu_time_and_memory_are_of_all_the_processes(words: list[str], tmp_path: Path) -> None:
    found = scale_cost.of([sys.executable, "-c", ORPHAN, *words], tmp_path, surroundings())
    assert found.cpu >= 0.6
    if words and sys.platform == "linux":
        assert found.peak > 200


def test_a_command_that_fails_says_why(tmp_path: Path) -> None:
    with pytest.raises(SystemExit, match="no such luck"):
        scale_cost.of([sys.executable, "-c", "exit('no such luck')"], tmp_path, surroundings())


def test_a_stage_of_the_smallest_table_is_measured(project: Path) -> None:
    place = scale_made.Place(project.parent)
    assert place.project == project
    scale.adopt(place, scale.ROWS, scale.COLUMNS)
    command = ["python", "-m", "esteira.line", "ingest"]
    found = scale_cost.of(command, project, place.environment(project))
    assert found.cpu > 0.1
    assert found.peak > 20
    assert (project / "data/ingested.parquet").exists()


def test_the_page_and_the_picture_are_those_of_the_measurements() -> None:
    points = scale.read(scale.RESULTS / "scale.csv")
    assert (scale.RESULTS / "scale.md").read_text("utf-8") == scale.page(points)
    assert scale.PICTURE.read_text("utf-8") == scale_drawn.picture(scale.panels(points))
