"""Their table is larger than memory: the line goes over it part by part, same bytes out."""

import shutil
import sys
from pathlib import Path

import actions
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from helpers import LINE, run, within

SMALL_PARTS = """
import runpy, sys
import esteira.line.parts as parts
parts.ROWS, parts.ROWS_SORTED = 37, 100
for stage in sys.argv[1:]:
    runpy.run_module(f"churn_radar.stages.{stage}", run_name="__main__", alter_sys=True)
"""
ROWS, COLUMNS = 400_000, 50
MEMORY = 800_000_000  # bytes of a process: the line that held its tables needed more
TOO_LITTLE = 400_000_000


def visits(path: Path, rows: int, columns: int) -> Path:
    """Write a table of numbers, two categories, an identifier and a target that follows."""
    random = np.random.default_rng(0)
    names = [f"x{number}" for number in range(columns - 4)]
    writer = None
    for first in range(0, rows, 100_000):
        count = min(100_000, rows - first)
        numbers = random.normal(size=(count, len(names))).round(2)
        chance = 1 / (1 + np.exp(numbers[:, 1] - numbers[:, 0]))
        part = pd.DataFrame(numbers, columns=names).assign(
            town=random.choice(["Rome", "Évora", "Oslo"], count),
            plan=random.choice(list("abcdefgh"), count),
            id=np.arange(first, first + count),
            left=np.where(random.random(count) < chance, "yes", "no"),
        )
        cells = pa.Table.from_pandas(part, preserve_index=False)
        writer = writer or pq.ParquetWriter(path, cells.schema, compression="zstd")
        writer.write_table(cells)
    assert writer is not None
    writer.close()
    return path


needs_limit = pytest.mark.skipif(sys.platform != "linux", reason="only Linux has this limit")


def test_the_line_writes_the_same_bytes_whatever_the_size_of_a_part(adopted: Path, tmp_path: Path):
    project = tmp_path / adopted.name
    shutil.copytree(adopted, project, symlinks=True)
    run(project, "python", "-c", SMALL_PARTS, *LINE)
    assert "up to date" in run(project, "dvc", "status").stdout
    assert run(project, "git", "status", "--porcelain").stdout == ""


@needs_limit
def test_a_table_larger_than_the_memory_goes_through_the_whole_line(project: Path) -> None:
    table = visits(project.parent / "visits.parquet", ROWS, COLUMNS)
    said = run(project, *within(MEMORY, "esteira", "adopt", str(table), "--target", "left"))
    assert "every" in said.stdout
    assert "400,000" in said.stdout
    actions.edit(project, "params.yaml", "sample: all", "sample: 20000")
    done = run(project, *within(MEMORY, "dvc", "repro"))
    assert "linear on 20000 of 2" in done.stdout
    checked = run(project, *within(MEMORY, "esteira", "validate", str(table)))
    assert f"keeps every rule: {ROWS} rows" in checked.stdout
    data = project / "data"
    drift = within(MEMORY, "esteira", "drift", "models/reference.json", str(data / "train.parquet"))
    assert run(project, *drift, check=False).returncode == 0

    actions.edit(project, "params.yaml", "sample: 20000", "sample: all")
    refused = run(project, *within(TOO_LITTLE, "dvc", "repro", "train"), check=False)
    assert refused.returncode
    assert "train: this takes more memory than there is" in refused.stderr + refused.stdout
    assert "`train.sample` in params.yaml bounds them" in refused.stderr + refused.stdout
    assert "Traceback" not in refused.stderr


@needs_limit
def test_the_machine_says_no_to_what_takes_more(tmp_path: Path) -> None:
    code = f"bytearray({MEMORY})"
    refused = run(tmp_path, *within(MEMORY, "python", "-c", code), check=False)
    assert "MemoryError" in refused.stderr
