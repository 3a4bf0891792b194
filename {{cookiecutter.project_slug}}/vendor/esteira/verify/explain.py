"""What `compare` found, as sentences: one for each thing that is wrong with a stage."""

from collections import Counter
from pathlib import PurePath

from esteira.verify.compare import Cause, StageResult

FALSE_LOCK = (
    "the lock is false, or the stage depends on something that it does not declare, or the "
    "environment is another"
)


def faults(result: StageResult) -> list[str]:
    """Return what is wrong with a stage, each a sentence whose subject is the stage's name."""
    if result.unavailable:
        return [f"{result.unavailable}."]
    found = undeclared(result)
    if result.failure:
        which = " under the other conditions" if result.failure.only_second else ""
        found.append(f"fails in a folder with only its `deps`{which}: {result.failure.words}")
        return found
    if result.cause:
        why = cause(result.cause)
        found += [f"writes {path} differently each time: {why}." for path in result.changing]
    for path in result.damaged:
        found.append(
            f"{path} in this folder is not the file that dvc.lock names, though DVC takes it for "
            "that: `uv run esteira doctor`."
        )
    explained = result.notes.read or result.notes.network or result.notes.variables
    why = "" if explained else f": {FALSE_LOCK}"
    found += [f"{path} comes out otherwise than dvc.lock says{why}." for path in result.differing]
    return found


def undeclared(result: StageResult) -> list[str]:
    """Return what a stage does that dvc.yaml does not say.

    A file outside that it finds is the same for both executions, so looking for it is told always;
    what else it only looks for, or names, is told where an output is wrong.
    """
    notes, wrong = result.notes, result.any_wrong()
    looked = [path for path in notes.looked - notes.read if wrong or PurePath(path).is_absolute()]
    named = notes.named - notes.read - notes.looked - notes.wrote if wrong else frozenset()
    found = [f"reads {path}, which is not among its `deps`." for path in sorted(notes.read)]
    found += [f"writes {path}, which is not among its `outs`." for path in sorted(notes.wrote)]
    found += [f"asks the network for {host}: no stage may." for host in sorted(notes.network)]
    found += [f"looks for {path}, which is not among its `deps`." for path in sorted(looked)]
    found += [f"names {path}, which is not among its `deps`." for path in sorted(named)]
    for name in sorted(notes.variables):
        found.append(
            f"reads the environment variable {name}, which pyproject.toml does not pass on: "
            "`[tool.esteira] environment`."
        )
    return found


def cause(found: Cause) -> str:
    """Say why an output changes from one execution to the next."""
    if found.always:
        return "even under the same conditions, so by the time, or by a random number without seed"
    if not found.conditions:
        return "by chance"
    return f"it changes with the {' and the '.join(found.conditions)}"


def summary(result: StageResult) -> str:
    """Return one line on one stage."""
    counts = Counter(output.verdict for output in result.outputs)
    words = ", ".join(f"{count} {verdict}" for verdict, count in counts.items())
    return f"{words or 'not executed'} ({result.seconds:.1f} s)"
