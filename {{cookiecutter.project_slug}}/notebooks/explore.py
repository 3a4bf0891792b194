# %% [markdown]
"""
# Explore: the table, the model, its mistakes

Each `# %%` begins a cell, in VS Code and (by jupytext) in Jupyter. It is also a program: CI runs it
from top to bottom, and brings the files that it names by their whole path. Copy it and go on.
"""

# %%
import pandas as pd
from esteira.line import schema, table
from esteira.line.files import read_json
from esteira.notebook import project

project.enter()  # Jupyter starts in notebooks/; what is named below is named from the project
what = schema.load()
train = table.read("data/train.parquet")
holdout = table.read("data/holdout.parquet")
model = project.module("model").load("models/model.skops")
BAR = "#9ecae1"

# %% [markdown]
# ## The table, as it is learnt

# %%
train.describe(include="all").transpose()

# %% [markdown]
# ## What the model relies on: the loss of score when an input is shuffled

# %%
importance = pd.DataFrame(read_json("reports/evaluate/plots/custom/importance.json"))
importance.head(10).style.bar(subset=["importance"], color=BAR).hide(axis="index")

# %% [markdown]
# ## The first of these inputs, by class (or by quarter of a target that is a number)

# %%
first = str(importance["input"].iloc[0])
many = what.columns[first].numeric and train[first].nunique() > 12
values = pd.cut(train[first].astype(float), 12) if many else train[first]
target = train[what.target]
groups = target if what.task == "classification" else pd.qcut(target, 4, duplicates="drop")
shares = pd.crosstab(values, groups, normalize="columns")
shares.head(30).style.bar(axis=None, color=BAR).format("{:.0%}")

# %% [markdown]
# ## Where the model is most wrong, among the rows held out

# %%
actual, predicted = holdout[what.target], model.predict(holdout[what.inputs])
wrong = pd.DataFrame({"actual": actual, "predicted": predicted}, index=holdout.index)
if what.task == "classification":
    chances = pd.DataFrame(model.predict_proba(holdout[what.inputs]), index=holdout.index)
    wrong["sure"] = chances.max(axis="columns")
    wrong = wrong[wrong["actual"] != wrong["predicted"]].sort_values("sure", ascending=False)
else:
    wrong["off"] = wrong["predicted"] - wrong["actual"]
    wrong = wrong.sort_values("off", key=abs, ascending=False)
wrong.head(10).join(holdout[importance["input"].head(5)].add_suffix(" (input)"))

# %% [markdown]
# ## How good it is, and what of the newest batch has moved (1: as far as may be)

# %%
metrics = pd.Series(read_json("reports/evaluate/metrics.json"))
metrics.to_frame("on the rows held out")

# %%
drift = pd.read_csv("reports/drift_check/columns.csv").sort_values("effect", ascending=False)
drift.head(10).style.bar(subset=["effect"], color=BAR).hide(axis="index")
