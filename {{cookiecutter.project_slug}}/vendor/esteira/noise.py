"""How far the metrics move when only the seeds change: below that, a difference says nothing."""

import os
import subprocess
import tempfile
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

from esteira.line.errors import UserError
from esteira.line.files import significant, write_json
from esteira.gate import read_metrics
from esteira.repository import dvc, git

RESULT = Path("reports/noise.json")
METRICS = "reports/evaluate/metrics.json"


def run(folder: Path, *command: str) -> None:
    """Run a program in `folder` with that folder's code. Raises UserError with its last words."""
    env = os.environ | {"PYTHONPATH": os.pathsep.join((f"{folder}/src", f"{folder}/vendor"))}
    done = subprocess.run(command, cwd=folder, env=env, capture_output=True, text=True)
    if done.returncode:
        words = " ".join((done.stderr or done.stdout).split())[-400:]
        raise UserError(f"the noise cannot be measured, `{' '.join(command[-3:])}` failed: {words}")


def reseed(path: Path, shift: int) -> list[str]:
    """Add `shift` to each section's `seed` in a params.yaml; return the names of those sections."""
    yaml = YAML()
    content: dict[str, Any] = yaml.load(path.read_text(encoding="utf-8"))
    seeded = [name for name, part in content.items() if isinstance(part, dict) and "seed" in part]
    for name in seeded:
        content[name]["seed"] += shift
    with path.open("w", encoding="utf-8", newline="\n") as file:
        yaml.dump(content, file)
    return seeded


def measure(seeds: int) -> str:
    """Run the committed line up to `evaluate` with `seeds` seeds; write the spread of each metric.

    The spread is the largest less the smallest value. All seeds of params.yaml move together: which
    rows are held out is luck as well. The work is done in a clone; nothing here is touched but
    reports/noise.json. Returns what was done, in one sentence.
    """
    found: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory(prefix="noise-") as temporary:
        copy = Path(temporary) / "project"
        git.run("clone", "--quiet", str(Path.cwd()), str(copy))
        run(copy, *dvc.COMMAND, "config", "--local", "cache.dir", str(Path(".dvc/cache").absolute()))
        run(copy, *dvc.COMMAND, "checkout", "--quiet", "--allow-missing")
        for shift in range(seeds):
            git.run("-C", str(copy), "checkout", "--quiet", "--", "params.yaml")
            if not reseed(copy / "params.yaml", shift):
                raise UserError("params.yaml has no section with a `seed`: nothing can vary.")
            run(copy, *dvc.COMMAND, "repro", "--no-commit", "evaluate")
            found.append(read_metrics(str(copy / METRICS)).values)
    spread = {
        name: significant(max(m[name] for m in found) - min(m[name] for m in found), 3)
        for name in found[0]
        if all(isinstance(m.get(name), int | float) for m in found)
    }
    write_json(RESULT, {"seeds": list(range(seeds)), "spread": spread})
    return f"Wrote {RESULT}: commit it, and the report will say what is within noise."
