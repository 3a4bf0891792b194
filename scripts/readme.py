"""Keep the documents true: the tables of benchmarks/results/, and how much a squad gets."""

import re
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from cookiecutter.main import cookiecutter

ROOT = Path(__file__).resolve().parent.parent
MANUAL = ROOT / "{{cookiecutter.project_slug}}" / "README.md"
PAGES = (
    ROOT / "README.md",
    ROOT / "README.pt-BR.md",
    ROOT / "docs" / "benchmarks.md",
    MANUAL,
    MANUAL.with_name("README.pt-BR.md"),
)
SIZE = re.compile(r"(\d+) (?:files\s+and|arquivos\s+e)\s+([\d,.]+) (?:lines|linhas)")


@dataclass(frozen=True)
class Size:
    """How much there is to read in a part of a project."""

    files: int
    lines: int

    def says(self, portuguese: bool = False) -> str:
        """Say it, the lines to a hundred."""
        lines = f"{round(self.lines, -2):,}"
        if portuguese:
            return f"{self.files} arquivos e {lines.replace(',', '.')} linhas"
        return f"{self.files} files and {lines} lines"


def measure(paths: list[Path]) -> Size:
    """Count files, and their lines."""
    return Size(len(paths), sum(len(path.read_bytes().splitlines()) for path in paths))


def sizes() -> tuple[Size, Size]:
    """Return what a project with the default answers holds: the squad's own part, the toolbox.

    Neither counts constraints.txt and uv.lock, which nobody writes.
    """
    with TemporaryDirectory() as folder:
        answers = {"no_input": True, "default_config": True, "accept_hooks": False}
        project = Path(cookiecutter(str(ROOT), output_dir=folder, **answers))
        caches = {"__pycache__", ".ruff_cache"}
        files = [p for p in project.rglob("*") if p.is_file() and not caches & set(p.parts)]
        toolbox = [path for path in files if path.is_relative_to(project / "vendor")]
        own = [
            p for p in files if p not in toolbox and p.name not in ("constraints.txt", "uv.lock")
        ]
        return measure(own), measure(toolbox)


def sized(text: str, parts: tuple[Size, Size]) -> str:
    """Return `text` with its two sizes, the squad's own and the toolbox's, replaced."""
    sizes_in_turn = iter(parts)
    return SIZE.sub(lambda found: next(sizes_in_turn).says("arquivos" in found[0]), text)


def fill(text: str) -> str:
    """Return `text` with each `results` section replaced by its measured table."""

    def section(found: re.Match[str]) -> str:
        table = (ROOT / "benchmarks" / "results" / f"{found[1]}.md").read_text(encoding="utf-8")
        # The page's own title is the summary's, and its sections are no chapters of README.md.
        table = re.sub(r"^# .*\n+", "", table)
        table = re.sub(r"^##+ (.*)$", r"**\1**", table, flags=re.MULTILINE)
        return f"<!-- results: {found[1]} -->\n{table.strip()}\n\n<!-- end -->"

    return re.sub(r"<!-- results: (\w+) -->\n.*?<!-- end -->", section, text, flags=re.DOTALL)


def main() -> None:
    """Write every page that holds something measured."""
    parts = sizes()
    for page in PAGES:
        text = fill(sized(page.read_text(encoding="utf-8"), parts))
        page.write_text(text, encoding="utf-8", newline="\n")


if __name__ == "__main__":
    main()
