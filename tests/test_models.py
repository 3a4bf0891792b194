"""The squad's own model: its classes, another library's, features that divide by zero, mistakes."""

import os
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
from filelock import FileLock
from helpers import ENVIRONMENT, ROOT, ran, run, surroundings

PACKAGE = Path("src/churn_radar")
LINEAR = '"linear": LogisticRegression(max_iter=1000),'
OTHERS = ROOT / ".cache" / "other-libraries-env"
VERSIONS = ("lightgbm==4.7.0", "xgboost==3.2.0", "catboost==1.2.10")


def edit(path: Path, old: str, new: str) -> None:
    text = path.read_text(encoding="utf-8")
    assert old in text, f"{path} has no {old!r}"
    path.write_text(text.replace(old, new, 1), encoding="utf-8")


def stage(project: Path, name: str, **env: str) -> subprocess.CompletedProcess[str]:
    """Run one stage, whatever it says."""
    return run(project, "python", "-m", "esteira.line", name, check=False, env=env)


def refused(project: Path, name: str, **env: str) -> str:
    """Run a stage that must fail; return its one sentence."""
    done = stage(project, name, **env)
    assert done.returncode == 1, done.stdout + done.stderr
    assert len(done.stderr.splitlines()) == 1, done.stderr
    return done.stderr


def use(project: Path, imports: str, model: str) -> None:
    """Add a classifier `other` to model.py, and train it."""
    edit(project / PACKAGE / "model.py", "from scipy.stats", f"{imports}\nfrom scipy.stats")
    edit(project / PACKAGE / "model.py", LINEAR, f'"other": {model},\n        {LINEAR}')
    edit(project / "params.yaml", "algorithm: linear", "algorithm: other")


def trust(project: Path, sentence: str) -> None:
    """Write into model.py what the sentence of `train` says."""
    _, _, names = sentence.strip().partition("write in model.py: TRUSTED = ")
    assert names, sentence
    edit(project / PACKAGE / "model.py", "= ()", f"= {names}")


OWN_CLASS = '''"""A class of the squad's own."""

from sklearn.base import BaseEstimator, TransformerMixin


class Halved(TransformerMixin, BaseEstimator):
    """Halves what it is given."""

    def fit(self, X, y=None):
        """Learn how wide the table is."""
        self.width_ = X.shape[1]
        return self

    def transform(self, X):
        """Return half of X."""
        return X / 2
'''


def divide_by_zero(project: Path) -> None:
    """Add ratios to features.py, and a new batch with a zero that one of them divides by."""
    features = project / PACKAGE / "features.py"
    edit(
        features,
        "    return table\n",
        '    table["inverse"] = 1 / table["mean concavity"]\n'
        '    table["log"] = np.log(table["mean concavity"].to_numpy() - 0.02)\n'
        "    return table\n",
    )
    edit(features, "import pandas", "import numpy as np\nimport pandas")
    batch = pd.read_parquet(project / "data" / "current.parquet")
    batch.loc[batch.index[0], "mean concavity"] = 0.0
    (project / "data" / "raw").mkdir()
    batch.to_csv(project / "data" / "raw" / "batch.csv", index=False)
    edit(project / "params.yaml", "data/current.parquet", "data/raw/batch.csv")


def test_a_class_of_the_squads_own_and_a_zero_in_a_new_batch_stop_no_stage(project: Path) -> None:
    (project / PACKAGE / "halved.py").write_text(OWN_CLASS, encoding="utf-8")
    use(project, "from .halved import Halved", "make_pipeline(Halved(), LogisticRegression())")
    for after in ("predict", "drift_check", "evaluate", "train"):
        edit(
            project / "dvc.yaml",
            f"      - src/churn_radar/stages/{after}.py\n",
            f"      - src/churn_radar/stages/{after}.py\n      - src/churn_radar/halved.py\n",
        )
    before = (project / "models" / "model.skops").read_bytes()
    sentence = refused(project, "train")
    assert "it holds churn_radar.halved.Halved, which is not scikit-learn's own" in sentence
    assert (project / "models" / "model.skops").read_bytes() == before
    trust(project, sentence)
    divide_by_zero(project)
    done = run(project, "dvc", "repro")
    assert ran(done.stdout) == ["train", "evaluate", "drift_check", "predict", "card"]
    assert "Warning" not in done.stdout + done.stderr
    run(project, "pytest", "-q", "-p", "no:cacheprovider", "tests/test_line.py")


def test_each_mistake_of_a_model_is_told_as_its_own(project: Path) -> None:
    model, features = project / PACKAGE / "model.py", project / PACKAGE / "features.py"
    own, plain = model.read_text(encoding="utf-8"), features.read_text(encoding="utf-8")

    edit(
        features, "    return table\n", '    return table.assign(when=pd.Timestamp("2024-01-01"))\n'
    )
    assert "train: the feature `when` that `engineer` in features.py makes" in refused(
        project, "train"
    )
    assert "evaluate: the feature `when`" in refused(project, "evaluate")
    features.write_text(plain, encoding="utf-8")

    edit(features, "    return table\n", '    return table.assign(a=table["no such"])\n')
    sentence = refused(project, "train")
    assert sentence.startswith("train: `linear` of model.py cannot learn `diagnosis`: KeyError: ")
    assert "(src/churn_radar/features.py, line" in sentence
    features.write_text(plain, encoding="utf-8")

    edit(model, LINEAR, '"linear": LinearSVC(),')
    edit(model, "from sklearn.pipeline", "from sklearn.svm import LinearSVC\nfrom sklearn.pipeline")
    assert "train: `linear` of model.py gives no probabilities" in refused(project, "train")
    model.write_text(own, encoding="utf-8")

    edit(model, "max_iter=1000", "max_iter=-1")
    assert "train: `linear` of model.py cannot learn `diagnosis`:" in refused(project, "train")
    model.write_text(own, encoding="utf-8")
    edit(project / "params.yaml", "hyperparameters: {}", "hyperparameters: {C: -1}")
    assert "train: section `train:` of params.yaml cannot be used: The 'C'" in refused(
        project, "train"
    )

    path = project / "models" / "model.skops"
    path.chmod(0o644)
    damaged = bytearray(path.read_bytes())
    damaged[len(damaged) // 3] ^= 4
    path.write_bytes(damaged)
    for reader in ("evaluate", "drift_check"):
        sentence = refused(project, reader)
        assert sentence.startswith(f"{reader}: models/model.skops is not a model of this line:")


@pytest.fixture(scope="session")
def others(reproduced: Path) -> dict[str, str]:
    """Return variables for an environment that has the other libraries beside the project's own."""
    python = OTHERS / "bin" / "python"
    with FileLock(f"{OTHERS}.lock"):
        if not (OTHERS / "ready").exists():
            uv = f"{sys.prefix}/bin/uv"
            make = [uv, "venv", "--quiet", "--clear", "--python", f"{ENVIRONMENT}/bin/python"]
            subprocess.run([*make, str(OTHERS)], check=True)
            here, project = (next(env.glob("lib/*/site-packages")) for env in (OTHERS, ENVIRONMENT))
            (here / "project.pth").write_text(f"{project}\n")
            add = [uv, "pip", "install", "--quiet", "--no-deps", "--python", str(python)]
            done = subprocess.run([*add, *VERSIONS], capture_output=True, text=True)
            if done.returncode:
                why = done.stderr.strip().splitlines()[-1]
                pytest.skip(f"the package index does not give {', '.join(VERSIONS)}: {why}")
            (OTHERS / "ready").touch()
    return {"PATH": os.pathsep.join((str(python.parent), surroundings()["PATH"]))}


MODEL_READERS = ["train", "evaluate", "drift_check", "predict"]
LIBRARIES = {
    "lightgbm": (
        "from lightgbm import LGBMClassifier",
        "LGBMClassifier(n_estimators=5, verbose=-1, n_jobs=1)",
        "{num_leaves: 4}",
    ),
    "xgboost": (
        "from xgboost import XGBClassifier",
        "XGBClassifier(n_estimators=5, n_jobs=1)",
        "{max_depth: 2}",
    ),
    "catboost": (
        "from catboost import CatBoostClassifier",
        "CatBoostClassifier(iterations=5, verbose=0, allow_writing_files=False, thread_count=1)",
        "{depth: 3}",
    ),
}


@pytest.mark.parametrize("library", list(LIBRARIES))
def test_another_librarys_model_is_learnt_judged_and_asked(
    project: Path, others: dict[str, str], library: str
) -> None:
    imports, model, hyperparameters = LIBRARIES[library]
    use(project, imports, model)
    edit(project / "params.yaml", "hyperparameters: {}", f"hyperparameters: {hyperparameters}")
    sentence = refused(project, "train", **others)
    assert "the model could not be loaded again: it holds " in sentence
    trust(project, sentence)
    # What drift_check asks of a model, evaluate has asked of it already: one library shows it.
    readers = [name for name in MODEL_READERS if name != "drift_check" or library == "lightgbm"]
    done = run(project, "dvc", "repro", *readers, env=others)
    assert ran(done.stdout) == readers
    assert "Warning" not in done.stdout + done.stderr
    learnt = (project / "models" / "model.skops").read_bytes()
    assert stage(project, "train", **others).returncode == 0
    assert (project / "models" / "model.skops").read_bytes() == learnt, "the same each time"
    tests = ("-m", "pytest", "-q", "-p", "no:cacheprovider", "-k", "other", "tests")
    run(project, "python", *tests, env=others)


REGRESSION = """
import numpy as np
from catboost import CatBoostRegressor
from lightgbm import LGBMRegressor
from xgboost import XGBRegressor
from esteira.line import model_file

rows = np.random.default_rng(0).normal(size=(60, 3))
trusted = (
    "collections.OrderedDict",
    "lightgbm.basic.Booster",
    "lightgbm.sklearn.LGBMRegressor",
    "xgboost.core.Booster",
    "xgboost.sklearn.XGBRegressor",
    "catboost.core.CatBoostRegressor",
)
for make in (
    lambda: LGBMRegressor(n_estimators=3, verbose=-1),
    lambda: XGBRegressor(n_estimators=3),
    lambda: CatBoostRegressor(iterations=3, verbose=0, allow_writing_files=False),
):
    files = []
    for _ in range(2):
        model = make().fit(rows, rows[:, 0])
        model_file.save(model, "model.skops", trusted)
        files.append(open("model.skops", "rb").read())
    assert files[0] == files[1], type(model)
    loaded = model_file.load("model.skops", trusted)
    assert (loaded.predict(rows) == model.predict(rows)).all()
"""


def test_another_librarys_regression_comes_back_whole(
    project: Path, others: dict[str, str]
) -> None:
    run(project, "python", "-c", REGRESSION, env=others)
