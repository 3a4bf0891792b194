"""`esteira drift` against the line's own profile: as the line checks a batch, with its model."""

from pathlib import Path

import pandas as pd
from helpers import run

PROFILE = "models/reference.json"


def labelled(project: Path) -> pd.DataFrame:
    """Return rows with labels that the model has not learnt from."""
    return pd.read_parquet(project / "data" / "holdout.parquet")


def test_the_model_beside_a_profile_is_asked_so_a_turned_relation_is_no_retrain(
    project: Path,
) -> None:
    batch = labelled(project)
    batch.to_csv(project / "same.csv", index=False)
    same = run(project, "esteira", "drift", PROFILE, "same.csv", "--out", "found")
    assert same.stdout.startswith("keep: Nothing to do.")
    one, other = sorted(batch["diagnosis"].unique())
    turned = batch.assign(diagnosis=batch["diagnosis"].map({one: other, other: one}))
    turned.to_csv(project / "turned.csv", index=False)
    found = run(project, "esteira", "drift", PROFILE, "turned.csv", "--out", "found", check=False)
    assert found.returncode == 11, found.stdout + found.stderr
    assert "The model errs more than these inputs explain" in found.stdout
    assert "Model error (Brier score): " in found.stdout
    # A released model's folder says the same.
    folder = project / "released"
    folder.mkdir()
    for name in ("models/reference.json", "models/model.skops", "schema.yaml"):
        (folder / Path(name).name).write_bytes((project / name).read_bytes())
    again = run(project, "esteira", "drift", "released/reference.json", "turned.csv", check=False)
    assert again.returncode == 11, again.stderr
    # Without the model nobody knows, and the advice says so.
    (folder / "model.skops").unlink()
    moved = batch.drop(columns="diagnosis")
    column = moved.select_dtypes("number").columns[0]
    moved[column] += 3 * moved[column].std()
    moved.to_csv(project / "moved.csv", index=False)
    blind = run(project, "esteira", "drift", "released/reference.json", "moved.csv", check=False)
    assert blind.returncode == 10, blind.stderr
    assert "Mind that the concept was not tested: it needs labels" in blind.stdout


def test_a_column_that_the_batch_lacks_is_named_wherever_it_is_looked_for(project: Path) -> None:
    batch = labelled(project)
    lost = batch.columns[3]
    batch.drop(columns=lost).to_csv(project / "lacking.csv", index=False)
    found = run(project, "esteira", "drift", PROFILE, "lacking.csv", check=False)
    assert found.returncode == 2
    assert f"Column `{lost}` is absent." in found.stdout
    assert found.stdout.startswith("unusable: Mend it where it is made.")
    page = (project / "drift" / "report.html").read_text("utf-8")
    assert "absent from the batch" in page
    assert "wait for more rows" not in page.lower()
