"""Mirror the line into MLflow, where the squad says that there is one."""

import json
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from esteira.line.errors import UserError
from esteira.tracking.record import Record, collect

ADDRESS = "MLFLOW_TRACKING_URI"
PYTHON = "ESTEIRA_MLFLOW_PYTHON"  # of an environment that has MLflow, instead of one of uv's
PACKAGE = "mlflow>=3.8,<4"
# Where the squad has set nothing else. What MLflow would tell its makers nobody was asked about.
UNLESS_SET = {
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "20",  # seconds
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "2",
    "MLFLOW_DISABLE_TELEMETRY": "true",
}


@dataclass(frozen=True)
class Sent:
    """What was done."""

    record: Record
    run: str
    is_new: bool
    versions: tuple[str, ...]

    def says(self) -> str:
        """Say it in a sentence."""
        done = "Mirrored" if self.is_new else "Renewed"
        counts = f"{len(self.record.params)} parameters, {len(self.record.metrics)} metrics"
        told = f"{done} {self.record.name} in MLflow, run {self.run}: {counts}."
        if self.versions:
            told += f" Registered {', '.join(self.versions)}."
        return told


def mirror() -> Sent:
    """Send what is known of the commit that is checked out to MLflow.

    MLflow's packages do not go together with the project's, so it runs in an environment of its
    own. Raises UserError where no MLflow is named, it cannot be reached, or the line is not here.
    """
    address = os.environ.get(ADDRESS, "")
    if not address:
        raise UserError(f"no MLflow is named: set {ADDRESS}, such as sqlite:///mlflow.db.")
    record = collect()
    chosen = {name: value for name, value in UNLESS_SET.items() if name not in os.environ}
    done = subprocess.run(
        [*_python(), str(Path(__file__).with_name("send.py"))],
        input=record.as_text(),
        capture_output=True,
        text=True,
        encoding="utf-8",
        env=_own_environment() | chosen,
    )
    if done.returncode:
        told = done.stderr.strip().splitlines() or ["it ended without a word"]
        raise UserError(
            f"MLflow at {without_credentials(address)} was not reached, and the line is as it was:"
            f" {told[-1][:300]}"
        )
    answer = json.loads(done.stdout.splitlines()[-1])
    return Sent(record, answer["run"], answer["new"], tuple(answer["versions"]))


def _python() -> list[str]:
    """Return the command that starts a Python with MLflow. Raises UserError."""
    if chosen := os.environ.get(PYTHON):
        return [chosen]
    if uv := shutil.which("uv"):
        python = f"{sys.version_info.major}.{sys.version_info.minor}"
        alone = ("--no-project", "--quiet", "--python", python, "--with", PACKAGE)
        return [uv, "run", *alone, "python"]
    raise UserError(f"uv brings MLflow: install it, or name a Python that has MLflow in {PYTHON}.")


def _own_environment() -> dict[str, str]:
    """Return the variables, less those that lead Python to the project's packages."""
    left_out = {"VIRTUAL_ENV", "PYTHONPATH", "PYTHONHOME"}
    return {name: value for name, value in os.environ.items() if name not in left_out}


def without_credentials(address: str) -> str:
    """Return an address without the name and the password that may stand before the server's."""
    scheme, mark, rest = address.partition("://")
    server, slash, path = rest.partition("/")
    return f"{scheme}{mark}{server.rpartition('@')[2]}{slash}{path}"
