"""What a notebook begins with: the project that it lies in."""

import os
from pathlib import Path
from typing import Any

from esteira.line.errors import UserError
from esteira.repository import own_code


def enter() -> Path:
    """Make the project's folder the current one, and return it. Raises UserError outside of any.

    Jupyter starts a notebook in its own folder; everything else of the project is named from here.
    """
    here = Path.cwd()
    for folder in (here, *here.parents):
        if (folder / "dvc.yaml").is_file():
            os.chdir(folder)
            return folder
    raise UserError(f"no dvc.yaml is in {here} or above: open the notebook in its project.")


def module(name: str) -> Any:
    """Import a module of the squad's package, such as `model`, whatever the package is called.

    Raises UserError where it is absent or cannot be imported.
    """
    return own_code.module(name)
