"""Where the parts of a table are worked on: here, or by an engine that the squad has already.

`ESTEIRA_ENGINE` names a backend of joblib: `dask`, `ray`, or `loky` for processes of this machine.
It is no setting of params.yaml, because it changes no byte of what comes out. An engine's own
variable says where it is (`DASK_SCHEDULER_ADDRESS`, `RAY_ADDRESS`); without one it is started on
this machine, and ended afterwards.
"""

import ctypes
import os
import sys
import tempfile
import zipfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from importlib import metadata
from itertools import islice
from pathlib import Path
from typing import Any, TypeVar

from esteira.line.errors import UserError

ENGINE = "ESTEIRA_ENGINE"
DASK, RAY = "DASK_SCHEDULER_ADDRESS", "RAY_ADDRESS"
PATIENCE = 10  # seconds in which a scheduler must answer
DECISIVE = ("numpy", "pandas", "pyarrow", "scikit-learn", "scipy")  # whose versions decide bytes
HERE = "127.0.0.1"

Part = TypeVar("Part")
Result = TypeVar("Result")


def name() -> str:
    """Return the engine's name; "" for none."""
    asked = os.environ.get(ENGINE, "").strip().lower()
    return "" if asked == "local" else asked


def mapped(function: Callable[[Part], Result], parts: Iterable[Part]) -> Iterator[Result]:
    """Yield what a function makes of each part, in order; the engine works on several at once.

    The parts are taken from their source here, so few of them are in memory. What a lost worker had
    is done again here. Raises what the function raises.
    """
    if not name():
        yield from map(function, parts)
        return
    import joblib

    at_once = 2 * joblib.effective_n_jobs()
    source = iter(parts)
    while window := list(islice(source, at_once)):
        yield from _window(function, window)


def _window(function: Callable[[Part], Result], parts: list[Part]) -> list[Result]:
    from joblib import Parallel, delayed

    if len(parts) == 1:  # a small table pays for no way to and from
        return [function(parts[0])]
    try:
        found = Parallel()(delayed(_worked)(function, part) for part in parts)
    except (UserError, MemoryError):
        raise
    except Exception as error:  # of an engine, or of the function: which is raised again below
        told = " ".join(str(error).split())[:200] or type(error).__name__
        print(f"{name()}: {told}: what was lost is done again here.", file=sys.stderr)
        return [function(part) for part in parts]
    return list(found)


def _worked(function: Callable[[Part], Result], part: Part) -> Result:
    """Work on a part in a worker, and give its memory back.

    One of Dask's that holds four fifths of its limit pauses, for good where nothing is given back.
    """
    try:
        return function(part)
    finally:
        give_back()


def give_back() -> None:
    """Give memory that is free in this process back to the system, where the C library can."""
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None) if sys.platform == "linux" else None
    if trim is not None:  # glibc's
        trim(0)


@contextmanager
def running() -> Iterator[None]:
    """Have the engine at work for a while. Raises UserError where it cannot be had.

    Searches of scikit-learn run there as well.
    """
    if not name():
        yield
        return
    import joblib
    from joblib.parallel import BACKENDS

    with ExitStack() as opened:
        if name() == "dask":
            opened.enter_context(_dask())
        elif name() == "ray":
            opened.enter_context(_ray())
        elif name() not in BACKENDS:
            known = ", ".join(("local", "dask", "ray", *sorted({*BACKENDS} - {"dask", "ray"})))
            raise UserError(f"{ENGINE} is {name()!r}, which is no engine: choose one of {known}.")
        opened.enter_context(joblib.parallel_config(backend=name(), n_jobs=-1))
        yield


@contextmanager
def _dask() -> Iterator[None]:
    """Have a cluster of Dask: the one that is named, or one of processes on this machine."""
    try:
        from distributed import Client, LocalCluster
    except ModuleNotFoundError:
        raise UserError(
            f"{ENGINE}=dask needs the extra `dask`: `uv run --extra dask dvc repro`."
        ) from None
    address = os.environ.get(DASK, "")
    with ExitStack() as opened:
        if not address:
            workers = os.cpu_count() or 1
            cluster = LocalCluster(
                n_workers=workers,
                threads_per_worker=1,
                host=HERE,
                dashboard_address=None,
                silence_logs=50,
            )
            address = opened.enter_context(cluster)
        try:
            client = opened.enter_context(Client(address, timeout=PATIENCE))
        except (OSError, ValueError, TimeoutError):
            raise UserError(
                f"no scheduler of Dask answers at {address} ({DASK}) within {PATIENCE} s: start it,"
                " or correct the address."
            ) from None
        _prepare(client)
        yield


def _prepare(client: Any) -> None:
    """Give Dask's workers the code of this folder, and see that they have the same packages.

    Raises UserError for no workers, and for workers with other versions: their bytes may differ.
    """
    workers = client.scheduler_info(n_workers=-1)["workers"]
    if not workers:
        raise UserError(
            "Dask's scheduler has no workers: start some, with this project's packages."
        )
    with tempfile.TemporaryDirectory(prefix="esteira-code-") as folder:
        code = Path(folder) / f"esteira-{os.getpid()}.zip"
        packages = _zipped(code)
        client.upload_file(str(code))
        client.run(_forgetting(packages))
    try:
        found = client.run(versions)
    except Exception as error:  # whatever a worker without a package raises
        raise UserError(
            f"Dask's workers cannot run the line: {' '.join(str(error).split())[:200]}. Install the"
            " project's packages there (`uv sync`)."
        ) from None
    own = versions()
    for worker, theirs in found.items():
        other = [
            f"{package} {theirs.get(package)}"
            for package in own
            if theirs.get(package) != own[package]
        ]
        if other:
            raise UserError(
                f"the worker {worker} has {', '.join(other)}, which is not what is here: the bytes"
                " may differ. Install the project's packages there (`uv sync`)."
            )


def versions() -> dict[str, str]:
    """Return the versions that decide bytes."""
    python = f"{sys.version_info.major}.{sys.version_info.minor}"
    return {"python": python, **{package: metadata.version(package) for package in DECISIVE}}


def _zipped(out: Path) -> list[str]:
    """Zip the toolbox and the squad's package; return their names."""
    toolbox = Path(__file__).parents[1]
    packages = [toolbox, *(path.parent for path in Path("src").glob("*/__init__.py"))]
    with zipfile.ZipFile(out, "w") as archive:
        for package in packages:
            for source in sorted(package.rglob("*.py")):
                archive.write(source, source.relative_to(package.parent).as_posix())
    return [package.name for package in packages]


def _forgetting(packages: list[str]) -> Callable[[], None]:
    """Return what makes a worker import these packages anew."""

    def forget() -> None:  # within another, so it is sent whole, and not by its name
        import sys

        for module in [m for m in sys.modules if m.partition(".")[0] in packages]:
            del sys.modules[module]

    return forget


@contextmanager
def _ray() -> Iterator[None]:
    """Have Ray: the cluster that is named, or one on this machine."""
    try:
        import ray  # type: ignore[import-not-found] # installed by those who have a cluster
        from ray.util.joblib import register_ray  # type: ignore[import-not-found]
    except ModuleNotFoundError:
        raise UserError(f"{ENGINE}=ray needs Ray: `uv run --with ray dvc repro`.") from None
    folders = [str(path.parent) for path in Path("src").glob("*/__init__.py")]
    code = {"py_modules": [str(Path(__file__).parents[1]), *folders]}
    address = os.environ.get(RAY) or "local"
    try:
        ray.init(address=address, runtime_env=code, log_to_driver=False, include_dashboard=False)
    except (ConnectionError, RuntimeError, ValueError) as error:
        raise UserError(
            f"no cluster of Ray answers at {address} ({RAY}): {' '.join(str(error).split())[:200]}."
        ) from None
    try:
        register_ray()
        yield
    finally:
        ray.shutdown()
