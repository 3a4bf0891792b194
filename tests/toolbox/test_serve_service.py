"""Requests that are answered together: one that the model fails on fails alone, and soon."""

import msgspec
import numpy as np
import pandas as pd

from esteira.line.answers import Origin
from esteira.line.schema import Schema
from esteira.serve import page
from esteira.serve.rows import Rows
from esteira.serve.service import Asked, Facts, Said, Service

SCHEMA = Schema.model_validate(
    {
        "task": "regression",
        "columns": {"x": {"type": "number"}, "y": {"type": "number", "role": "target"}},
    }
)
FACTS = Facts(model="v", data="d", task="regression", target="y", schema={})


class Doubling:
    """A squad's model, which fails on 13."""

    def __init__(self) -> None:
        self.calls = 0

    def predict(self, rows: pd.DataFrame) -> np.ndarray:
        self.calls += 1
        if (rows["x"] == 13).any():
            raise ValueError("no such row")
        return 2 * rows["x"].to_numpy()


def test_one_request_that_fails_among_many_costs_the_others_little() -> None:
    model, rows = Doubling(), Rows(SCHEMA)
    service = Service(SCHEMA, Origin("v", "d"), model, rows, None, FACTS)
    numbers = [[1.0, 2.0], [13.0], *([float(number)] for number in range(20, 50))]
    asked = [
        Asked(rows.read(msgspec.json.encode([{"x": number} for number in request])), "r")
        for request in numbers
    ]
    answers = service.answer(asked)
    assert isinstance(answers[1], ValueError)
    said = [answer for answer in answers if not isinstance(answer, Exception)]
    assert said[0] == [Said(2.0), Said(4.0)]
    assert said[1:] == [[Said(2.0 * number)] for number in range(20, 50)]
    assert model.calls <= 1 + 2 * 5, "halves of 32 requests, not each by itself"


def test_the_form_begins_with_dates_that_the_schema_takes() -> None:
    dates = {
        "since": {"type": "datetime", "format": "%d/%m/%Y"},
        "seen": {"type": "datetime", "role": "time", "format": "ISO8601"},
        "told": {"type": "datetime"},
        "opens": {"type": "number", "format": "%H:%M"},
        "closes": {"type": "number", "format": "%H:%M", "missing": True},
    }
    what = Schema.model_validate(
        {"task": "regression", "columns": {**dates, "y": {"type": "number", "role": "target"}}}
    )
    rows = Rows(what)
    form = page.fields(Service(what, Origin("v", "d"), None, rows, None, FACTS))
    begun = {field.name: field.usual for field in form if field.usual is not None}
    assert list(begun) == ["since", "seen", "told", "opens"]
    (row,) = rows.read(msgspec.json.encode(begun))
    assert rows.frame([row])[list(begun)].notna().all(axis=None)
