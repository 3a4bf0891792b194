"""Copy the tables of benchmarks/results/ into README.md, between their markers."""

import re
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


def fill(text: str) -> str:
    """Return `text` with each `results` section replaced by its measured table."""

    def section(found: re.Match) -> str:
        table = (ROOT / "benchmarks" / "results" / f"{found[1]}.md").read_text(encoding="utf-8")
        # The page's own title is the summary's, and its sections are no chapters of README.md.
        table = re.sub(r"^# .*\n+", "", table)
        table = re.sub(r"^##+ (.*)$", r"**\1**", table, flags=re.MULTILINE)
        return f"<!-- results: {found[1]} -->\n{table.strip()}\n\n<!-- end -->"

    return re.sub(r"<!-- results: (\w+) -->\n.*?<!-- end -->", section, text, flags=re.DOTALL)


if __name__ == "__main__":
    readme = ROOT / "README.md"
    readme.write_text(fill(readme.read_text(encoding="utf-8")), encoding="utf-8")
