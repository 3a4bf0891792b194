"""Generate a project in demo/ with the default answers, reproduce it, and say where to look."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
FOLDER = ROOT / "demo"


def step(title: str, *command: str, cwd: Path = ROOT) -> None:
    """Say what is done, and do it in full sight. Exits with the command's status if it fails."""
    title = f"\033[1m{title}\033[0m" if sys.stdout.isatty() else title
    print(f"\n{title}\n$ {' '.join(command)}", flush=True)
    status = subprocess.run(command, cwd=cwd, env=os.environ | {"PWD": str(cwd)}).returncode
    if status:
        sys.exit(f"demo: `{' '.join(command)}` failed with status {status}.")


def main() -> None:
    """Run the three steps of a squad's first minutes."""
    shutil.rmtree(FOLDER, ignore_errors=True)
    step("1. Generate a project", "cookiecutter", "--no-input", "-o", "demo", str(ROOT))
    (project,) = (path for path in FOLDER.iterdir() if (path / "dvc.yaml").exists())
    step(
        "2. Install its locked packages (about half a minute)",
        "uv",
        "sync",
        "--quiet",
        "--compile-bytecode",
        cwd=project,
    )
    step("3. Reproduce its line", "uv", "run", "dvc", "repro", cwd=project)
    step("The gate, and what the drift check says", "uv", "run", "esteira", "gate", cwd=project)
    step("One page that says how it stands", "uv", "run", "esteira", "report", cwd=project)
    here = os.path.relpath(project)
    made_with = Path(sys.executable).parent
    ours = (made_with, ROOT / ".venv" / "bin")
    own = os.pathsep.join(folder for folder in os.get_exec_path() if Path(folder) not in ours)
    if not shutil.which("uv", path=own):
        print(f"""
The project's commands begin with `uv`, which is not on this machine's PATH yet:
  export PATH="$PATH:{made_with}"
takes the one that made the demo; for good, install it as https://docs.astral.sh/uv tells.
""")
    print(f"""
Where to look:
  {here}/reports/report.html   how the project stands: open it in a browser
  {here}/README.md             what to change first
  {here}/dvc.yaml              the line
""")


if __name__ == "__main__":
    main()
