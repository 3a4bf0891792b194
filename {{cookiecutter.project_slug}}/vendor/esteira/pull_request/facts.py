"""The facts of one pull request, as JSON: written by `collect`, read as hostile by `render`.

A pull request runs its author's code, so nothing in the file is believed to be well formed:
every text has a length, every list a size, every number is finite, and no name is unknown.
"""

from pathlib import Path
from typing import Annotated, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from esteira.drift.verdicts import Action
from esteira.gate import Blockable
from esteira.line.errors import UserError

MOST_BYTES = 1_000_000
MOST_ENTRIES = 500

Text = Annotated[str, Field(max_length=500)]
Sha = Annotated[str, Field(pattern=r"^[0-9a-f]{40}$")]
Number = Annotated[float, Field(allow_inf_nan=False)]
Count = Annotated[int, Field(ge=0, le=10**15)]
StageState = Literal["ran", "cached", "failed", "not reached", "removed"]


class Part(BaseModel):
    """Base of every part: exact types, no name that is not declared."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


Item = TypeVar("Item")
Listed = Annotated[list[Item], Field(max_length=MOST_ENTRIES)]


class Stale(Part):
    """A stage that dvc.lock does not describe, and what changed."""

    stage: Text
    why: Text = ""


class Lock(Part):
    """Whether dvc.lock describes the code, the settings and the data of this commit."""

    state: Literal["fresh", "stale", "unknown"] = "unknown"
    stages: Listed[Stale] = []


class Pushed(Part):
    """Whether everybody can pull what dvc.lock names."""

    state: Literal["pushed", "missing", "unchecked"] = "unchecked"
    paths: Listed[Text] = []  # that the remote lacks
    reason: Text = ""  # why it was not checked


class Stage(Part):
    """What became of one stage; `seconds` where it ran."""

    name: Text
    state: StageState
    seconds: Number | None = None


class Run(Part):
    """Whether the line was reproduced here."""

    state: Literal["not needed", "reproduced", "failed", "impossible"] = "not needed"
    stages: Listed[Stage] = []
    lines: Annotated[list[Text], Field(max_length=40)] = []  # the last ones of what failed
    reason: Text = ""  # why it was impossible


class Metric(Part):
    """One metric at the base and now; `fault` where it is there and no finite number."""

    file: Text
    name: Text
    base: Number | None = None
    now: Number | None = None
    fault: Text = ""


class Compared(Part):
    """A metric of two models on the rows that both answered, with the difference's interval."""

    base: Number
    now: Number
    low: Number
    high: Number
    rows: Count


class Gate(Part):
    """One rule of gates.yaml and its verdict; `reason` is empty where it passes."""

    file: Text
    metric: Text
    better: Literal["higher", "lower", ""]
    base: Number | None = None
    now: Number | None = None
    word: Text = ""  # instead of `now` and `limit`, for what is no number
    limit: Number | None = None
    regression: Number | None = None
    reason: Text = ""
    not_compared: Text = ""  # why there is no `base` although the change has one
    compared: Compared | None = None  # whence `base` is then


class Column(Part):
    """One column of the drift check; an effect of 1 is at its threshold."""

    name: Text
    drifted: bool
    significant: bool
    effect: Number
    says: Text = ""


class Drift(Part):
    """The drift check's verdict; `checked` and `drifted` count features alone."""

    action: Action
    checked: Count
    drifted: Count
    target: bool = False  # whether the target drifted
    prediction: bool = False  # whether the predictions did
    batch: Text = ""  # its file
    advice: Text = ""  # what to do, in a sentence or two
    reasons: Listed[Text] = []  # what the verdict stands on, a sentence each
    error: Text = ""  # of the model, seen and expected, in a sentence
    columns: Listed[Column] = []  # the worst first


class Violation(Part):
    """A rule of schema.yaml that rows break, with some of the values that do."""

    column: Text
    rule: Text
    rows: Count
    examples: Text = ""


class Change(Part):
    """A setting or a column of the schema, before and after; None where it was not there."""

    name: Text
    old: Text | None = None
    new: Text | None = None


class Data(Part):
    """A file or folder of DVC's, before and after; sizes in bytes."""

    path: Text
    old_hash: Text | None = None
    new_hash: Text | None = None
    old_size: Count | None = None
    new_size: Count | None = None
    raw: bool = False  # whether a .dvc file names it: people brought it, the line did not make it


class Point(Part):
    """The leading metric at an earlier commit of the base branch."""

    commit: Sha
    value: Number


class Facts(Part):
    """All that the report says."""

    format: Literal[1] = 1
    number: Annotated[int, Field(ge=0, lt=2**31)]  # 0: not a pull request yet
    head: Sha
    base: Sha | None = None  # the merge base
    base_name: Text = ""  # the branch, or what else it was found by
    not_compared: Text = ""  # why no metric is compared with the base
    fork: bool = False
    problem: Text = ""  # what kept the facts from being collected
    lock: Lock = Lock()
    pushed: Pushed = Pushed()
    run: Run = Run()
    metrics: Listed[Metric] = []
    gates: Listed[Gate] = []
    drift: Drift | None = None
    drift_blocks: Annotated[list[Blockable], Field(max_length=2)] = []  # as gates.yaml says
    code: Listed[Text] = []  # paths that differ from the base, without data, reports and toolbox
    params: Listed[Change] = []
    data: Listed[Data] = []
    columns: Listed[Change] = []  # of schema.yaml
    rules: Listed[Change] = []  # of gates.yaml
    environment: Listed[Change] = []  # that made dvc.lock
    changed_stages: Listed[Text] = []  # whose outputs are not those of the base
    violations: Listed[Violation] = []
    history: Annotated[list[Point], Field(max_length=20)] = []
    left_out: Count = 0  # entries beyond MOST_ENTRIES


def read(path: str | Path) -> Facts:
    """Read a file of facts. Raises UserError if it is absent, too large or not as declared."""
    path = Path(path)
    if path.is_symlink() or not path.is_file():
        raise UserError(f"there is no report: {path.name} is not a file.")
    if path.stat().st_size > MOST_BYTES:
        raise UserError(f"the report is larger than {MOST_BYTES:,} bytes.")
    try:
        return Facts.model_validate_json(path.read_bytes())
    except ValidationError as error:
        fault = error.errors(include_input=False, include_url=False)[0]
        place = ".".join(str(part)[:40] for part in fault["loc"][:6]) or "the file"
        raise UserError(f"the report is malformed at {place}: {fault['msg'][:200]}.") from None
