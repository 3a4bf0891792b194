"""`python -m esteira.notebook.execute NOTEBOOK`: run one from top to bottom, without a screen.

A process of its own: what a notebook changes ends with it. What stopped it is the last line on
standard error, in one sentence with its place.
"""

import sys
import traceback
from pathlib import Path
from types import ModuleType

from esteira.line.errors import UserError, one_line
from esteira.notebook.code import Cell, cells


def execute(path: str) -> str:
    """Run a notebook's cells as one program; return what stopped it, or "" where nothing did."""
    names = [path]
    try:
        found = cells(path)
        names = [cell.name for cell in found]
        _run(path, found)
    except UserError as error:
        return str(error)
    except SystemExit as error:
        return f"{path} ended itself with {error.code!r}." if error.code else ""
    except Exception as error:  # whatever the squad's code raises
        said = str(error.msg) if isinstance(error, SyntaxError) else one_line(error)
        named = said if said == type(error).__name__ else f"{type(error).__name__}: {said}"
        return f"{_place(error, names)}: {named}."
    return ""


def _run(path: str, found: list[Cell]) -> None:
    program = ModuleType("__main__")
    program.__dict__.update(__file__=str(Path(path).resolve()), display=print)
    sys.modules["__main__"] = program
    sys.argv = [path]
    for cell in found:
        exec(compile(cell.source, cell.name, "exec"), program.__dict__)  # noqa: S102 - our own code


def _place(error: Exception, names: list[str]) -> str:
    """Name the cell and the line, of the notebook itself, where an error arose."""
    if isinstance(error, SyntaxError) and error.filename in names:
        return f"{error.filename}, line {error.lineno}"
    frames = traceback.extract_tb(error.__traceback__)
    own = [frame for frame in frames if frame.filename in names]
    return f"{own[-1].filename}, line {own[-1].lineno}" if own else names[0]


def main() -> None:
    """Run the notebook that the command names."""
    fault = execute(sys.argv[1])
    if fault:
        sys.stdout.flush()
        sys.exit(fault)


if __name__ == "__main__":
    main()
