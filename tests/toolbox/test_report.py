"""The report: one page that says how the project stands, in every state that it may be in."""

from dataclasses import replace
from pathlib import Path

import pages
import pytest
from helpers import run
from playwright.sync_api import Page

from esteira.drift.bars import Bar, Bars
from esteira.drift.shown import Column, Limit
from esteira.report import collect, model, write
from esteira.report.facts import Candidates, Confusion, Part, Report, Term, Violation

MOST_BYTES = 1_000_000
SECTIONS = [
    "Metrics on the rows held out", "The model", "Errors by segment", "Drift of the newest batch",
    "Validation", "The line", "Lineage", "Data dictionary",
]  # fmt: skip


@pytest.fixture(scope="module")
def collected(reproduced: Path) -> Report:
    """Return what the report shows of the project as it was reproduced."""
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(reproduced)
        return collect.collect()


def shown(report: Report, folder: Path, page: Page) -> Page:
    """Draw a report, and demand what every page must keep."""
    file = folder / "report.html"
    file.write_text(write.page(report), encoding="utf-8")
    assert file.stat().st_size < MOST_BYTES
    pages.look(page, file)
    return page


def test_a_project_that_is_ready_says_so_first(project: Path, page: Page) -> None:
    said = run(project, "esteira", "report").stdout
    assert said.splitlines()[0].startswith("Ready: `roc_auc` is 0.994")
    assert "Report: reports/report.html" in said
    assert run(project, "git", "status", "--porcelain").stdout == "", "Git does not keep it"
    pages.look(page, project / "reports" / "report.html")
    assert page.locator("h1").inner_text() == "Ready"
    titles = page.locator("h2").all_inner_texts()
    assert [title for title in titles if title in SECTIONS] == SECTIONS
    for drawing in ("ROC", "Precision and recall", "Calibration", "Confusion"):
        assert page.get_by_role("heading", name=drawing, exact=True).is_visible()
    metrics = page.get_by_role("region", name="Metrics", exact=True).inner_text()
    assert "unchanged" in metrics
    assert "[0.986, 1]" in metrics, "the interval of roc_auc"
    assert "Fresh: ingest, validate, split, train" in page.locator("main").inner_text()
    lock = (project / "dvc.lock").read_text("utf-8")
    hashes = page.get_by_role("region", name="Lineage").locator("td:nth-child(3)")
    assert all(text in lock for text in hashes.all_inner_texts() if text != "–")


def test_a_worse_model_is_said_to_be_worse_and_which_stages_it_changed(
    worse: Path, page: Page
) -> None:
    project = worse
    run(project, "git", "checkout", "--quiet", "-b", "try")
    params = project / "params.yaml"
    text = params.read_text("utf-8")
    params.write_text(text.replace("{C: 0.001}", "{C: 0.002}"), "utf-8")
    stale = run(project, "esteira", "report").stdout
    assert stale.startswith("Not ready: dvc.lock is stale: `train` changed")
    params.write_text(text, "utf-8")
    said = run(project, "esteira", "report", "--out", "page.html", "--base", "main").stdout
    assert said.startswith("Not ready: ")
    pages.look(page, project / "page.html")
    assert "limit" in page.locator("header").inner_text()
    metrics = page.get_by_role("region", name="Metrics", exact=True)
    assert "worse +" in metrics.locator("tr", has_text="log_loss").inner_text()
    beside = page.get_by_text("Base, on the rows that it held out", exact=True)
    assert beside.count() >= 2, "its curves are drawn beside"
    main = page.locator("main").inner_text()
    assert "Changed against the base: train, evaluate" in main
    assert "worse, and no gate asks" in str(page.locator("body").text_content())
    assert "not committed yet" in str(page.locator("svg.graph").text_content())


def test_what_is_not_here_is_told_with_what_to_do(
    project: Path, page: Page, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for path in ("data/holdout.parquet", "models/model.skops"):
        (project / path).unlink()
    (project / "reports/drift_check/shown.json").write_text("{}")
    monkeypatch.chdir(project)
    report = collect.collect()
    shown(report, tmp_path, page)
    main = page.locator("main").inner_text()
    assert "data/holdout.parquet does not exist: run uv run dvc repro" in main
    assert "reports/drift_check/shown.json is absent or of another version" in main
    assert page.get_by_role("heading", name="ROC", exact=True).is_visible(), "it needs no data"


def test_a_hundred_columns_and_hostile_names_fit(
    collected: Report, tmp_path: Path, page: Page
) -> None:
    name = "<script>alert(1)</script> & `code` " + "long" * 30
    bars = Bars(tuple(Bar(f"{k}", k / 190, (19 - k) / 190) for k in range(20)), numbers=True)
    limits = (Limit("KS", 0.27, 0.1, "`drift_check.ks`"),)
    columns = tuple(
        Column(
            name=f"{number} {name}",
            role="feature",
            kind="number",
            state="drifted" if number < 30 else "chance",
            sure="certain" if number < 30 else "",
            says="median 70 → 88; 25% above the old maximum 200",
            reliance=0.01,
            effect=2.7,
            limits=limits,
            missing=Bar("missing", 0.0, 0.1),
            drawn=bars,
        )
        for number in range(100)
    )
    terms = tuple(
        Term(column.name, "feature", "number", "kg", name, "from 0; never missing", 0.01)
        for column in columns
    )
    drift, validation = collected.drift.found, collected.validation.found
    assert drift
    assert validation
    broken = tuple(Violation(name, "min 0", 3, "-1 | <b>") for _ in range(20))
    report = replace(
        collected,
        name=name,
        dictionary=terms,
        drift=Part(replace(drift, action="retrain", columns=columns)),
        validation=Part(replace(validation, violations=broken)),
        search=Part(
            Candidates(
                names=("rank", "C"),
                rows=(("1", "0.5"), ("2", name)),
                scores=((1.0, -0.1, 0.01), (2.0, -0.2, 0.02)),
                tried=2,
            )
        ),
    )
    shown(report, tmp_path, page)
    assert page.locator("article.alarm").count() == 30
    assert page.get_by_role("region", name="Columns of the table").locator("tr").count() == 101
    assert page.get_by_role("heading", name="The search").is_visible()
    assert page.locator("section[aria-labelledby=search] circle").count() == 2
    assert "&lt;script&gt;alert" in page.content()


def test_a_regression_is_drawn_as_one(collected: Report, tmp_path: Path, page: Page) -> None:
    points = tuple((float(k), float(k) + (-1) ** k * 9) for k in range(25, 320, 3))
    residuals = tuple((y, x - y) for x, y in points)
    known = collected.drawings.found
    assert known
    curves = (
        replace(model.CURVES["predictions"], now=points, of_rows=12_345),
        replace(model.CURVES["residuals"], now=residuals),
    )
    drawn = replace(known, curves=curves, confusion=None)
    shown(replace(collected, drawings=Part(drawn)), tmp_path, page)
    for title, dots in (("Predicted against actual", len(points)), ("Residuals", len(residuals))):
        card = page.locator("article", has=page.get_by_role("heading", name=title))
        assert card.locator("circle").count() == dots
        assert card.locator(".ideal").count() == 1
    said = f"{len(points)} of the 12,345 rows held out"
    assert page.get_by_text(said).count() == 1, "only where they are not all"


def test_many_classes_and_no_base_leave_nothing_empty(
    collected: Report, tmp_path: Path, page: Page
) -> None:
    known = collected.drawings.found
    assert known
    names = tuple(f"class {k}" for k in range(6))
    rows = tuple(tuple(9 * (i == j) + 1 for j in range(6)) for i in range(6))
    metrics = tuple(replace(metric, base=None, moved=None) for metric in collected.metrics)
    report = replace(
        collected,
        metrics=metrics,
        compared=False,
        drawings=Part(replace(known, confusion=Confusion(names, rows))),
    )
    shown(report, tmp_path, page)
    titles = page.get_by_role("region", name="Metrics", exact=True).locator("th[scope=col]")
    assert titles.all_inner_texts() == ["Metric", "Now", "Gate"]


def test_an_unknown_base_is_told(project: Path) -> None:
    done = run(project, "esteira", "report", "--base", "nowhere", check=False)
    assert done.returncode == 2
    assert "the base 'nowhere' is no commit here" in done.stderr
    assert not (project / "reports" / "report.html").exists()


def test_before_the_first_reproduction_it_says_what_to_do(project: Path) -> None:
    (project / "dvc.lock").unlink()
    done = run(project, "esteira", "report", check=False)
    assert done.returncode == 2
    assert "uv run dvc repro" in done.stderr
    assert "Traceback" not in done.stderr
