"""Write the names that a project's packages take into hooks/pre_gen_project.py.

A hook runs from a copy of its own text, in the new project's folder, and whichever tool runs it
(Cookiecutter, cruft) it knows no way to a file of the template: so the names stand in its text.
"""

import re
import textwrap
from importlib.metadata import PackageNotFoundError, files
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
HOOK = ROOT / "hooks" / "pre_gen_project.py"
CONSTRAINTS = ROOT / "{{cookiecutter.project_slug}}" / "constraints.txt"
PACKAGE = r"[a-z][a-z0-9_]*"  # no other name can be answered
MODULE_FILE = re.compile(rf"({PACKAGE})(?:\.py|(?:\.[\w-]+)*\.(?:so|pyd))")


def distributions() -> set[str]:
    """Return the names of the packages in constraints.txt."""
    pins = CONSTRAINTS.read_text(encoding="utf-8")
    return set(re.findall(r"^([a-z0-9._-]+)==", pins, flags=re.MULTILINE))


def import_names(distribution: str) -> set[str]:
    """Return the names at the top of what a package installs; none where it is not installed.

    A package of another platform is not.
    """
    try:
        installed = files(distribution) or []
    except PackageNotFoundError:
        return set()
    found = set()
    for file in installed:
        top = file.parts[0]
        if len(file.parts) > 1 and re.fullmatch(PACKAGE, top):
            found.add(top)
        elif len(file.parts) == 1 and (module := MODULE_FILE.fullmatch(top)):
            found.add(module[1])
    return found


def modules() -> set[str]:
    """Return what the installed packages of constraints.txt are imported as."""
    return set().union(*(import_names(name) for name in distributions()))


def fill(hook: str, name: str, words: set[str]) -> str:
    """Return the hook's text with the words of one of its lists replaced."""
    lines = textwrap.fill(" ".join(sorted(words)), 100, break_on_hyphens=False)
    written = f'{name} = """\n{lines}\n"""'
    return re.sub(rf'^{name} = """.*?"""', written, hook, flags=re.DOTALL | re.MULTILINE)


def main() -> None:
    """Write both lists."""
    hook = HOOK.read_text(encoding="utf-8")
    hook = fill(hook, "DISTRIBUTIONS", distributions())
    hook = fill(hook, "MODULES", modules())
    HOOK.write_text(hook, encoding="utf-8", newline="\n")


if __name__ == "__main__":
    main()
