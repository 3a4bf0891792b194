"""What a run leaves in an .ipynb file is found and cut out, and no other byte is touched."""

import json
import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from esteira.notebook.outputs import NotANotebook, look

# In each text, <<what a run left|what stands there without it>>.
INDENTED = r"""{
 "cells": [
  {
   "cell_type": "markdown",
   "id": "a",
   "metadata": {},
   "attachments": {"outputs": {"image/png": "iVBORw0KGgo="}},
   "source": ["# Ação 数据 \u00e9 😀 \"outputs\": [1]\n"]
  },
  {
   "cell_type": "code",
   "execution_count": <<12|null>>,
   "id": "b",
   "metadata": {<<
    "execution": {
     "iopub.execute_input": "2026-01-01T00:00:00Z"
    }
   |>>},
   "outputs": <<[
    {
     "name": "stdout",
     "output_type": "stream",
     "text": ["{}[]\\", "\"execution_count\": 3\n"]
    },
    {
     "output_type": "error",
     "traceback": []
    }
   ]|[]>>,
   "source": ["x = 1.50e+1\n", "x"]
  },
  {
   "cell_type": "code",
   "execution_count": null,
   "metadata": {"tags": ["outputs"]<<, "ExecuteTime": {"end_time": 1}|>>},
   "outputs": [ ],
   "source": []
  }
 ],
 "metadata": {
  "kernelspec": {"name": "python3", "language": "python"}<<,
  "widgets": {"application/vnd.jupyter.widget-state+json": {"state": {}}}|>>
 },
 "nbformat": 4,
 "nbformat_minor": 5
}
"""
COMPACT = (
    '{"nbformat":4,"metadata":{<<"widgets":{},|>>"x":1.0},"cells":[{"cell_type":"code",'
    '"metadata":{<<"ExecuteTime":1,"execution":{},|>>"collapsed":true},'
    '"outputs":<<[{"output_type":"display_data"}]|[]>>,'
    '"execution_count":<<1|null>>,"source":"\\ud83d\\ude00"}]}'
)
THREE = """{
\t"metadata": {"name": "" },
\t"nbformat": 3, "nbformat_minor": 0,
\t"worksheets": [
\t\t{"cells": [
\t\t\t{"cell_type": "code", "input": ["print(1)"], "language": "python",
\t\t\t "metadata": {}, "outputs": <<[{"output_type": "pyout", "prompt_number": 1}]|[]>>,
\t\t\t "prompt_number": <<1|null>>}
\t\t]},
\t\t{"cells": []}
\t]
}"""
MARK = re.compile(r"<<(.*?)\|(.*?)>>", re.DOTALL)
TEXTS = {
    "indented": INDENTED,
    "windows": INDENTED.replace("\n", "\r\n"),
    "no line end": INDENTED.rstrip("\n"),
    "spaces around": f"\n \t{INDENTED}\n\n",
    "compact": COMPACT,
    "nbformat 3": THREE,
}


@pytest.mark.parametrize("text", TEXTS.values(), ids=TEXTS)
def test_what_a_run_left_is_taken_out_and_no_other_byte(text: str) -> None:
    ran, clean = MARK.sub(r"\1", text), MARK.sub(r"\2", text)
    json.loads(clean)
    assert look(ran).clean == clean
    assert look(clean).clean == clean
    assert look(clean).says() == ""


def test_what_is_there_is_counted() -> None:
    found = look(MARK.sub(r"\1", INDENTED))
    assert (found.outputs, found.counts, found.traces, found.widgets) == (2, 1, 2, True)
    assert found.says() == (
        "2 outputs, 1 execution count, 2 times of execution and the state of widgets"
    )


def notebook(**cell: Any) -> str:
    cells = [{"cell_type": "code", "metadata": {}, "source": [], "outputs": [], **cell}]
    return json.dumps({"cells": cells, "metadata": {}, "nbformat": 4})


def test_a_name_that_stands_twice_hides_nothing() -> None:
    text = notebook().replace('"outputs": []', '"outputs": [{"x": 1}], "outputs": []')
    assert json.loads(text)["cells"][0]["outputs"] == []
    assert look(text).says() == "1 output"
    assert '"x"' not in look(text).clean


@pytest.mark.parametrize("value", ['{"x": 1}', '"]"', "7", "null", "[[]]"])
def test_outputs_that_are_no_list_are_outputs_as_well(value: str) -> None:
    text = notebook().replace('"outputs": []', f'"outputs": {value}')
    assert look(text).says() == "1 output"
    assert look(text).clean == notebook()


def test_a_huge_output_is_taken_out() -> None:
    large = notebook(outputs=[{"data": {"text/html": "<td>1</td>" * 2_000_000}}], source=["é"])
    assert look(large).clean == notebook(source=["é"])


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "it is not valid JSON: Expecting value"),
        ("\ufeff{}", "it is not valid JSON: Unexpected UTF-8 BOM"),
        ('{"cells": [', "it is not valid JSON"),
        ('{"cells": [], "nbformat": 4} {}', "it is not valid JSON: Extra data"),
        ("<<<<<<< HEAD\n{}", "it is not valid JSON"),
        ("[" * 100_000, "it is nested too deeply"),
        (f'{{"cells": [], "nbformat": {"4" * 5000}}}', "it is not valid JSON: Exceeds the limit"),
        ("[]", "it has no list of cells"),
        ("null", "it has no list of cells"),
        ("{}", "it has no list of cells"),
        ('{"cells": []}', "it has no list of cells"),
        ('{"nbformat": 4, "cells": {}}', "it has no list of cells"),
        ('{"nbformat": 4, "cells": [1]}', "it has no list of cells"),
        ('{"nbformat": 3, "worksheets": 5}', "it has no list of cells"),
        ('{"nbformat": 3, "worksheets": [{}]}', "it has no list of cells"),
    ],
)
def test_what_is_no_notebook_is_never_taken_for_a_clean_one(text: str, reason: str) -> None:
    with pytest.raises(NotANotebook, match=re.escape(reason)):
        look(text)


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.text(max_size=4) | st.sampled_from(["outputs", "cells"]), inner)
    ),
    max_leaves=8,
)
CELLS = st.lists(
    st.fixed_dictionaries(
        {"source": st.text(max_size=9)},
        optional={
            "outputs": st.lists(VALUES, max_size=3),
            "execution_count": st.none() | st.integers(),
            "metadata": st.dictionaries(
                st.sampled_from(["execution", "ExecuteTime", "tags", "x", "y"]), VALUES
            ),
        },
    ),
    max_size=3,
)


def without_a_run(cell: dict[str, Any]) -> dict[str, Any]:
    kept = dict(cell)
    if "outputs" in kept:
        kept["outputs"] = []
    if "execution_count" in kept:
        kept["execution_count"] = None
    if "metadata" in kept:
        traces = ("execution", "ExecuteTime")
        kept["metadata"] = {k: v for k, v in kept["metadata"].items() if k not in traces}
    return kept


@given(CELLS, st.sampled_from([None, 0, 1, "\t"]), st.booleans())
def test_whatever_is_in_the_cells_the_rest_is_as_it_was(
    cells: list[dict[str, Any]], indent: Any, ascii_only: bool
) -> None:
    whole = {"nbformat": 4, "cells": cells, "metadata": {"é": 1}}
    text = json.dumps(whole, indent=indent, ensure_ascii=ascii_only)
    clean = look(text).clean
    expected = whole | {"cells": [without_a_run(cell) for cell in cells]}
    assert json.dumps(json.loads(clean)) == json.dumps(json.loads(json.dumps(expected)))
    assert look(clean).clean == clean
