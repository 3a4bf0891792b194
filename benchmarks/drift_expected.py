"""How far the quality expected without labels lies from the true one.

    python benchmarks/drift_expected.py [--runs 200] [--seed 50000] [--write]

Each run draws a holdout of 1,000 rows and a batch of 1,000 from the generator of drift_quality.py,
lets a model answer both, and expects the batch's accuracy and Brier score from the model's
probabilities as `drift/expected.py` does. Then the labels are drawn, and the two are compared. The
model knows the truth, or is as wrong as the column says. `naive` takes the holdout's accuracy for
the batch's.
"""

import argparse
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "{{cookiecutter.project_slug}}" / "vendor"))
sys.path.insert(0, str(ROOT / "benchmarks"))

from drift_quality import Draw, Table, chance, inputs, label  # noqa: E402

from esteira.drift import profile  # noqa: E402
from esteira.drift.expected import DECIDES, expected_quality  # noqa: E402

ROWS = 1000


@dataclass(frozen=True)
class Errors:
    """Of one run: what was expected less what was true; `naive` by the holdout's accuracy."""

    accuracy: float
    naive: float
    brier: float


def nothing(draw: Draw, batch: Table) -> np.ndarray:
    """No drift."""
    return chance(batch)


def harder(draw: Draw, batch: Table) -> np.ndarray:
    """Inputs move to where the model is unsure (half the spread)."""
    batch["x0"] *= 0.5
    batch["x1"] *= 0.5
    return chance(batch)


def shifted(draw: Draw, batch: Table) -> np.ndarray:
    """Inputs move by 1 σ."""
    batch["x0"] += 1
    return chance(batch)


def flipped(draw: Draw, batch: Table) -> np.ndarray:
    """The concept drifts: labels are flipped in 30 % of rows, which no expectation can see."""
    truth = chance(batch)
    return 0.7 * truth + 0.3 * (1 - truth)


SCENARIOS = (nothing, harder, shifted, flipped)
MODELS = {"the truth": 1.0, "twice too sure": 2.0, "half as sure": 0.5}  # its log-odds, times


def answers(table: Table, sureness: float) -> np.ndarray:
    """The model's probabilities, of shape (rows,)."""
    odds = np.log(chance(table) / (1 - chance(table)))
    return 1 / (1 + np.exp(-sureness * odds))


def run(seed: int, scenario: Callable, sureness: float) -> Errors:
    """Draw a holdout and a batch; expect the batch's quality, and compare it with the true one."""
    draw = np.random.default_rng(seed)
    holdout, batch = inputs(draw, ROWS), inputs(draw, ROWS)
    label(draw, holdout)
    label(draw, batch, scenario(draw, batch))
    held = answers(holdout, sureness)
    known = profile.build(pa.table(holdout), "y")
    known = profile.follow(known, pa.table(holdout), lambda rows: held[rows], "yes")
    told = answers(batch, sureness)
    assert known.followed is not None  # noqa: S101
    quality = expected_quality(known.followed, told)
    assert quality is not None  # noqa: S101

    def accuracy(table: Table, probability: np.ndarray) -> float:
        return float(((probability >= DECIDES) == (table["y"] == "yes")).mean())

    true_accuracy = accuracy(batch, told)
    true_brier = float(np.mean((told - (batch["y"] == "yes")) ** 2))
    return Errors(
        accuracy=quality.accuracy - true_accuracy,
        naive=accuracy(holdout, held) - true_accuracy,
        brier=quality.brier - true_brier,
    )


def cell(errors: list[float], digits: int, unit: float = 1) -> str:
    """Mean error, and the size that 95 % of the errors do not exceed."""
    sizes = np.abs(errors) * unit
    mean = np.mean(errors) * unit
    return f"{mean:+.{digits}f} ({np.quantile(sizes, 0.95):.{digits}f})"


def main() -> None:
    """Print the table, and write it with --write."""
    parse = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parse.add_argument("--runs", type=int, default=200)
    parse.add_argument("--seed", type=int, default=50_000)
    parse.add_argument("--write", action="store_true")
    given = parse.parse_args()
    lines = [
        "| scenario | model | accuracy, points | naive, points | Brier score |",
        "| --- | --- | ---: | ---: | ---: |",
    ]
    for scenario in SCENARIOS:
        for model, sureness in MODELS.items():
            seeds = range(given.seed, given.seed + given.runs)
            errors = [run(seed, scenario, sureness) for seed in seeds]
            cells = [
                (scenario.__doc__ or "").rstrip("."),
                model,
                cell([error.accuracy for error in errors], 1, 100),
                cell([error.naive for error in errors], 1, 100),
                cell([error.brier for error in errors], 3),
            ]
            lines.append(f"| {' | '.join(cells)} |")
            print(lines[-1], flush=True)
    if given.write:
        about = "\n".join((__doc__ or "").splitlines()[4:])
        text = [
            "# Quality expected without labels",
            "",
            about.strip(),
            "",
            "Expected less true: the mean, and in brackets the size that 95 % of runs keep within.",
            "",
            *lines,
            "",
            f"Made by `python benchmarks/drift_expected.py --runs {given.runs}"
            f" --seed {given.seed}`.",
        ]
        path = ROOT / "benchmarks/results/drift_expected.md"
        path.write_text("\n".join(text) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
