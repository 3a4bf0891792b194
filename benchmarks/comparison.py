"""How often a comparison of two models errs, and what it sees.

Two models' answers are drawn for the same held-out rows: each sees the same signal through noise of
its own, and partly through noise that both share, as two versions of one model do.
- No difference: both have as much noise of their own. "Better" and "worse" are then wrong; 95 %
  intervals may say each in 2.5 % of the runs.
- A small and a plain gain: the second model has less noise.
The target is a class of 30 % or of 5 % of the rows, or a number. Figures are shares of runs, in
percent. Run it with `make benchmark-comparison`; it rewrites benchmarks/results/comparison.md.
"""

import argparse
import sys
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "{{cookiecutter.project_slug}}" / "vendor"))

from esteira.comparison import METRICS, difference  # noqa: E402
from esteira.line.influence import REGRESSION, Undefined  # noqa: E402
from esteira.line.predictions import Answers  # noqa: E402

RESULT = ROOT / "benchmarks" / "results" / "comparison.md"
ROWS = (60, 120, 500, 2000)
SHARED_NOISE = 0.5  # standard deviations, as all noise here; the signal has 1
OWN_NOISE = 0.5
LEFT = {"no difference": 1.0, "small gain": 0.7, "plain gain": 0.4}  # of the second model's noise
BINARY = ("accuracy", "log_loss", "roc_auc", "average_precision", "f1", "brier")


@dataclass(frozen=True)
class Pair:
    """Two models' answers on the same rows."""

    base: Answers
    now: Answers


Draw = Callable[[np.random.Generator, int, float], Pair]


def classes(share: float) -> Draw:
    """Return how to draw answers about a class of this share of the rows."""

    def draw(random: np.random.Generator, rows: int, left: float) -> Pair:
        signal = random.normal(size=rows)
        chance = 1 / (1 + np.exp(-2 * signal - np.log(share / (1 - share))))
        truth = random.random(rows) < chance
        actual = np.where(truth, "yes", "no").astype(object)
        seen = signal + SHARED_NOISE * random.normal(size=rows)

        def answers(noise: float) -> Answers:
            score = 1.5 * (seen + noise * random.normal(size=rows)) + np.log(share / (1 - share))
            said = 1 / (1 + np.exp(-score))
            keys = np.arange(rows, dtype=np.uint64)
            return Answers(keys, actual, ("no", "yes"), np.column_stack([1 - said, said]))

        return Pair(answers(OWN_NOISE), answers(OWN_NOISE * left))

    return draw


def numbers(random: np.random.Generator, rows: int, left: float) -> Pair:
    """Draw answers about a number, whose errors have heavy tails (Student's t, 4 degrees)."""
    truth = random.normal(size=rows)
    seen = truth + SHARED_NOISE * random.standard_t(4, size=rows)

    def answers(noise: float) -> Answers:
        said = seen + noise * random.standard_t(4, size=rows)
        return Answers(np.arange(rows, dtype=np.uint64), truth, (), said)

    return Pair(answers(OWN_NOISE), answers(OWN_NOISE * left))


@dataclass(frozen=True)
class Kind:
    """A kind of target, with how to draw answers and the metrics that are asked."""

    name: str
    draw: Draw
    metrics: tuple[str, ...]


KINDS = (
    Kind("a class of 30 %", classes(0.3), BINARY),
    Kind("a class of 5 %", classes(0.05), BINARY),
    Kind("a number", numbers, tuple(REGRESSION)),
)


def verdicts(kind: Kind, rows: int, left: float, runs: int, seed: int) -> dict[str, Counter[str]]:
    """Count the verdicts on each metric over the runs."""
    found: dict[str, Counter[str]] = {name: Counter() for name in kind.metrics}
    for run in range(runs):
        pair = kind.draw(np.random.default_rng([seed, run, rows]), rows, left)
        for name in kind.metrics:
            try:
                verdict = difference(METRICS[name], pair.base, pair.now, "yes").verdict
            except Undefined:
                verdict = "undefined"
            found[name][verdict] += 1
    return found


def tables(runs: int, seed: int) -> list[str]:
    """Return a table in Markdown for each kind of target."""
    lines = []
    for kind in KINDS:
        heads = " | ".join(f"{rows:,} rows" for rows in ROWS)
        lines += [f"## {kind.name[0].upper()}{kind.name[1:]}", ""]
        lines += [f"| | metric | {heads} |", "| --- | --- |" + " ---: |" * len(ROWS)]
        for scenario, left in LEFT.items():
            by_rows = [verdicts(kind, rows, left, runs, seed) for rows in ROWS]
            said = ("better", "worse") if left == 1 else ("better",)
            for name in kind.metrics:
                cells = [
                    " / ".join(f"{100 * found[name][word] / runs:.1f}" for word in said)
                    for found in by_rows
                ]
                what = f"{scenario}: {' / '.join(said)}"
                lines.append(f"| {what} | {name} | {' | '.join(cells)} |")
        lines.append("")
    return lines


def main() -> None:
    """Measure, print, and write the tables if asked to."""
    parse = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parse.add_argument("--runs", type=int, default=200)
    parse.add_argument("--seed", type=int, default=1)
    parse.add_argument("--write", action="store_true", help=f"rewrite {RESULT.name}")
    given = parse.parse_args()
    told = (__doc__ or "").rstrip().splitlines()[2:]
    text = ["# Comparison of two models", "", *told, "", *tables(given.runs, given.seed)]
    command = f"python benchmarks/comparison.py --runs {given.runs} --seed {given.seed} --write"
    text.append(f"Made by `{command}`; {given.runs} runs for each figure.")
    print("\n".join(text))
    if given.write:
        RESULT.write_text("\n".join(text) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
