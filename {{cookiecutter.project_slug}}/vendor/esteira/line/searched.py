"""What a search of hyperparameters tried, as a table: the best candidate first."""

from pathlib import Path
from typing import Any

import pandas as pd

from esteira.line.files import write_text

PATH = "reports/train/search.csv"
PREFIX = "model__"  # of a hyperparameter of the pipeline's estimator


def write(results: dict[str, Any] | None, path: str | Path = PATH) -> None:
    """Write scikit-learn's `cv_results_` as rank, mean score, its spread, and hyperparameters.

    Without a search, the header alone. Times are left out: they differ from run to run.
    """
    table = pd.DataFrame(columns=["rank", "score", "spread"])
    if results is not None:
        tried = pd.DataFrame(list(results["params"]))
        tried.columns = [str(name).removeprefix(PREFIX) for name in tried]
        scores = pd.DataFrame(
            {
                "rank": results["rank_test_score"],
                "score": results["mean_test_score"],
                "spread": results["std_test_score"],
            }
        )
        table = pd.concat([scores, tried], axis=1).sort_values("rank", kind="stable")
    text = table.to_csv(index=False, float_format="%.6g", lineterminator="\n")
    write_text(path, text)
