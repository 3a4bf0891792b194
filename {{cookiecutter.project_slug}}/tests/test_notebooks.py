"""Notebooks are code: free of outputs, never part of the line, and they run."""

import pytest
from esteira.notebook import code, files, run
from esteira.repository import notebooks

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning:dvc")


def test_no_notebook_keeps_outputs() -> None:
    faults = files.faults(files.to_check([]))
    assert not faults, "\n".join(faults)


def test_no_stage_stands_on_a_notebook() -> None:
    found = notebooks.in_line()
    assert not found, "\n".join([*found, notebooks.ADVICE])


def test_what_notebooks_import_is_there() -> None:
    imports = [(path, name) for path in run.find() for name in code.missing_imports(path)]
    missing = [f"{path} imports {name}, which nobody has" for path, name in imports]
    assert not missing, "\n".join(missing)


def test_notebooks_run_from_top_to_bottom() -> None:
    lacking = run.absent(run.find())
    ran = [run.run(path) for path, data in lacking.items() if not data]
    faults = [each.fault for each in ran if each.fault]
    assert not faults, "\n".join(faults)
    waiting = [f"{path} reads {data[0].path}" for path, data in lacking.items() if data]
    if waiting:
        pytest.skip(f"not here (`uv run dvc pull`, or `uv run dvc repro`): {', '.join(waiting)}")
