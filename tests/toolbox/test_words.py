"""Mistakes of a name: the sentence says where, and which name was probably meant."""

from pathlib import Path

import pandas as pd
import pytest

from esteira import gate
from esteira.line import answers, holdout, params, schema
from esteira.line.errors import UserError
from esteira.line.nearest import closest

COLUMNS = {
    "mean radius": {"type": "number"},
    "left": {"type": "category", "role": "target"},
}


class Inner(params.Section):
    candidates: int = 0


class Settings(params.Section):
    algorithm: str
    search: Inner = Inner()


@pytest.mark.parametrize(
    ("value", "says"),
    [
        ({"algorithm": "a", "algoritm": "b"}, "algoritm: no such name; did you mean `algorithm`?"),
        ({"algorithm": "a", "search": {"candidate": 3}}, "did you mean `candidates`?"),
        ({"algorithm": "a", "zzzz": 3}, "zzzz: no such name."),
        ({}, "algorithm: field required."),
    ],
)
def test_a_misspelt_setting_is_told_with_the_one_that_was_meant(value: dict, says: str) -> None:
    with pytest.raises(UserError) as told:
        params.parse(value, Settings, "params.yaml, section `train`")
    assert str(told.value).endswith(says)


def test_a_rule_of_the_gates_is_named_by_its_metric() -> None:
    rules = {
        "rules": [
            {"metric": "roc_auc", "better": "higher", "limit": 0.9},
            {"metric": "log_loss", "better": "less", "limit": 0.2},
        ]
    }
    with pytest.raises(UserError, match=r"rules\.1 \(log_loss\)\.better: .*'higher' or 'lower'"):
        params.parse(rules, gate.Gates, "gates.yaml")


def test_a_metric_that_is_not_measured_is_told_with_those_that_are() -> None:
    measured = gate.MetricsFile("m.json", {"roc_auc": 0.9, "log_loss": 0.1})
    with pytest.raises(UserError, match=r"rocauc is missing in m\.json: did you mean `roc_auc`\?"):
        measured.number("rocauc")
    with pytest.raises(UserError, match="it has `roc_auc`, `log_loss`"):
        measured.number("zz")


def test_a_misspelt_column_of_a_table_is_told_with_the_one_that_was_meant(tmp_path: Path) -> None:
    what = schema.Schema.model_validate({"task": "classification", "columns": COLUMNS})
    pd.DataFrame({"mean raduis": [1.0], "left": ["a"]}).to_csv(tmp_path / "t.csv", index=False)
    with pytest.raises(UserError, match=r"lacks `mean radius`.*did you mean `mean raduis`\?"):
        list(answers.read(tmp_path / "t.csv", what))
    with pytest.raises(UserError, match=r"names 'mean radus'.*did you mean `mean radius`\?"):
        holdout.look([pd.DataFrame({"mean radius": [1.0]})], what, "mean radus")


def test_names_far_from_all_are_told_what_there_is() -> None:
    assert closest("quantum", ["linear", "forest"]) == "it has `linear`, `forest`."
    assert closest("Forest", ["linear", "forest"]) == "did you mean `forest`?"
