"""The bill of materials of a version: packages by uv, and the model with its card.

CycloneDX 1.5, whose components may be models (https://cyclonedx.org/docs/1.5/json/#components).
"""

import json
import subprocess
from pathlib import Path
from typing import Any

from esteira.card import said
from esteira.line import model_file
from esteira.line.errors import UserError
from esteira.line.files import write_json
from esteira.release.versions import Note

EXPORT = ("uv", "export", "--format", "cyclonedx1.5", "--no-dev", "--all-extras", "--frozen")
ADDRESSES = ("distributionUrl", "externalReferences")  # of an index: every squad has its own


def make(note: Note, model: Path, out: Path) -> None:
    """Write the bill of a version whose model lies at `model`; the project here has its uv.lock.

    Raises UserError where uv or uv.lock is not here.
    """
    bill = _packages()
    component = _component(note, model)
    bill.setdefault("components", []).append(component)
    write_json(out, bill)


def _packages() -> dict[str, Any]:
    try:
        done = subprocess.run(EXPORT, capture_output=True, text=True, encoding="utf-8")
    except FileNotFoundError:
        raise UserError("uv is not installed, which lists the packages: install it.") from None
    if done.returncode:
        said_by_uv = " ".join(done.stderr.split())[-300:]
        raise UserError(f"uv.lock cannot be exported: {said_by_uv}")
    return _without_addresses(json.loads(done.stdout))


def _without_addresses(value: Any) -> Any:
    """Leave out where an index keeps its files."""
    if isinstance(value, dict):
        kept = {name: inner for name, inner in value.items() if name not in ADDRESSES}
        return {name: _without_addresses(inner) for name, inner in kept.items()}
    return [_without_addresses(inner) for inner in value] if isinstance(value, list) else value


def _component(note: Note, model: Path) -> dict[str, Any]:
    """Return the model as a component, with its card."""
    words = said.read()
    considerations: dict[str, Any] = {}
    if words.intended_use:
        considerations["useCases"] = [words.intended_use]
    if words.limits or words.not_for:
        considerations["technicalLimitations"] = [*words.limits, *filter(None, [words.not_for])]
    if words.ethics:
        considerations["ethicalConsiderations"] = [{"name": words.ethics}]
    metrics: list[dict[str, Any]] = []
    for figure in note.metrics:
        metric: dict[str, Any] = {"type": figure.name, "value": f"{figure.value:g}"}
        if figure.low is not None and figure.high is not None:
            metric["confidenceInterval"] = {
                "lowerBound": f"{figure.low:g}",
                "upperBound": f"{figure.high:g}",
            }
        metrics.append(metric)
    card: dict[str, Any] = {
        "modelParameters": {
            "approach": {"type": "supervised"},
            "modelArchitecture": model_file.estimator(model),
        },
        "quantitativeAnalysis": {"performanceMetrics": metrics},
    }
    if considerations:
        card["considerations"] = considerations
    return {
        "type": "machine-learning-model",
        "bom-ref": f"model@{note.version}",
        "name": "model",
        "version": note.version,
        "hashes": [{"alg": "MD5", "content": note.model}],
        "modelCard": card,
    }
