"""`python -m esteira.line STAGE`: run one stage with the code of the folder that it runs in.

An installed project is found through one folder's absolute path. DVC's queue, a worktree or a
second clone that shares the environment run stages in another folder, and DVC hashes the code
there. So the code there must be what runs: its `src/` and `vendor/` come first, for the stage and
whatever it starts. Standard library only: of an installed toolbox, nothing but this file has run
by then.
"""

import gc
import os
import signal

if __name__ == "__main__":
    # What is imported stays, so looking for garbage in it every 700 objects finds none: a tenth of
    # the time that a stage's imports take.
    gc.set_threshold(10_000)
    # Arrow reserves a gibibyte at once unless told, and `ulimit -d` counts it as taken.
    os.environ.setdefault("MIMALLOC_ARENA_RESERVE", "64MiB")
    # While the stage imports there is nothing to tell of: Ctrl-C ends it at once. (In the middle of
    # an import, Python's own handler would become an ImportError of numpy's.) `params.run` tells.
    signal.signal(signal.SIGINT, signal.SIG_DFL)

import runpy
import sys
from pathlib import Path


def module_of(stage: str) -> str:
    """Return the name of the module under src/ that is this stage. Exits with a sentence."""
    files = sorted(Path("src").glob(f"*/stages/{stage}.py"))
    if not files:
        sys.exit(
            f"there is no stage {stage!r} in {Path.cwd()}: it would be "
            f"src/<package>/stages/{stage}.py."
        )
    if len(files) > 1:
        sys.exit(f"there is more than one stage {stage!r}: {', '.join(map(str, files))}.")
    return ".".join(files[0].with_suffix("").parts[1:])


def prefer(folders: list[str]) -> None:
    """Put folders first on the path of imports, for this process and its children."""
    sys.path[:0] = folders
    inherited = os.environ.get("PYTHONPATH", "").split(os.pathsep)
    os.environ["PYTHONPATH"] = os.pathsep.join([*folders, *filter(None, inherited)])
    for name in [name for name in sys.modules if name.partition(".")[0] == "esteira"]:
        del sys.modules[name]  # perhaps another folder's


def main() -> None:
    """Run the stage that the command names."""
    if len(sys.argv) != 2 or not sys.argv[1].isidentifier():
        sys.exit("name one stage of dvc.yaml: python -m esteira.line STAGE")
    stage = sys.argv.pop()
    module = module_of(stage)
    prefer([str(Path.cwd() / "src"), str(Path.cwd() / "vendor")])
    runpy.run_module(module, run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main()
