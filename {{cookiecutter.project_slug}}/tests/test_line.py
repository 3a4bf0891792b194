"""dvc.yaml, params.yaml and the stages say the same thing; if one of these fails, DVC may not
rerun what changed."""

from pathlib import Path
from types import ModuleType

from esteira.export.files import outdated
from esteira.gate import read_gates
from esteira.line.files import read_yaml
from esteira.repository.imports import undeclared


def test_a_stage_has_one_name_everywhere(package: ModuleType) -> None:
    stages = read_yaml("dvc.yaml")["stages"]
    modules = Path(package.__file__).parent.glob("stages/[!_]*.py")
    assert set(stages) == {module.stem for module in modules} == set(read_yaml("params.yaml"))
    for name, stage in stages.items():
        assert stage["cmd"] == f"python -m esteira.line {name}"
        assert stage["params"] == [name]


def test_every_module_that_a_stage_imports_is_among_its_deps() -> None:
    assert undeclared() == {}, "add these files, or their folders, to the `deps` in dvc.yaml"


def test_gates_can_be_read() -> None:
    assert read_gates().rules


def test_files_for_other_tools_are_what_dvc_yaml_says() -> None:
    assert outdated() == []  # those that `esteira export` wrote; there need be none
