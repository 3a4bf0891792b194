"""Draw the pictures of README.md from a real run: the report, and a pull request's comment.

A project is generated and reproduced; on a branch another model is tried. Needs Chromium.
"""

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from markdown_it import MarkdownIt
from playwright.sync_api import Browser, Page, sync_playwright

ROOT = Path(__file__).resolve().parent.parent
PICTURES = ROOT / "docs"
WIDTH, HEIGHT = 1200, 1500
TRY = ("hyperparameters: {}", "hyperparameters: {C: 0.3}")

LIKE_GITHUB = """<!doctype html><html lang="en"><head><meta charset="utf-8"><title>Comments</title>
<link rel="icon" href="data:,"><style>
:root { color-scheme: light dark; --line: light-dark(#d1d9e0, #3d444d) }
body { margin: 0 auto; max-width: 860px; padding: 16px; font: 14px/1.5 sans-serif;
  background: light-dark(#ffffff, #0d1117); color: light-dark(#1f2328, #f0f6fc) }
article { border: 1px solid var(--line); border-radius: 6px; padding: 16px; margin-bottom: 24px;
  overflow-wrap: break-word }
table { display: block; width: max-content; max-width: 100%; overflow: auto;
  border-collapse: collapse } th, td { padding: 6px 13px; border: 1px solid var(--line) }
pre { overflow: auto; padding: 16px; background: light-dark(#f6f8fa, #151b23) }
code { background: light-dark(#eff1f3, #262c36); padding: .2em .4em; font-size: 85% }
sub { color: light-dark(#59636e, #9198a1) }
a { color: light-dark(#0969da, #4493f8) }
</style></head><body>"""


def as_github_shows(comments: list[str]) -> str:
    """Return comments as a page that looks much like GitHub's."""
    markdown = MarkdownIt("gfm-like", {"linkify": False, "html": True})
    articles = (f"<article>{markdown.render(comment)}</article>" for comment in comments)
    return LIKE_GITHUB + "".join(articles)


def main() -> None:
    """Make the project, try another model, and take the pictures."""
    program = shutil.which("chromium")
    if program is None:
        sys.exit("pictures: needs Chromium (`apt-get install chromium`).")
    with tempfile.TemporaryDirectory() as folder:
        project = make_project(Path(folder))
        comment = try_another_model(project)
        page = Path(folder) / "comment.html"
        page.write_text(as_github_shows([comment]), encoding="utf-8")
        PICTURES.mkdir(exist_ok=True)
        with sync_playwright() as driver:
            browser = driver.chromium.launch(executable_path=program, args=["--no-sandbox"])
            report = opened(browser, project / "reports" / "report.html")
            report.screenshot(path=PICTURES / "report.png")
            shown = opened(browser, page)
            shown.locator("article").screenshot(path=PICTURES / "comment.png")
            browser.close()


def make_project(folder: Path) -> Path:
    """Generate a project, and commit what its line gives."""
    run(ROOT, "cookiecutter", "--no-input", "-o", str(folder), str(ROOT))
    (project,) = (path for path in folder.iterdir() if (path / "dvc.yaml").exists())
    run(project, "uv", "sync", "--quiet", "--compile-bytecode")
    settle(project, "Reproduce the line")
    return project


def try_another_model(project: Path) -> str:
    """Change a hyperparameter on a branch; return the comment that its pull request gets."""
    run(project, "git", "switch", "--quiet", "--create", "stronger-regularisation")
    params = project / "params.yaml"
    params.write_text(params.read_text("utf-8").replace(*TRY), encoding="utf-8")
    settle(project, "Regularise more")
    run(project, "uv", "run", "esteira", "report")
    run(project, "uv", "run", "esteira", "pull-request", "collect", "--base", "main")
    return run(project, "uv", "run", "esteira", "pull-request", "render")


def settle(project: Path, message: str) -> None:
    """Reproduce, record, commit and push the data."""
    for words in (
        ("uv", "run", "dvc", "repro"),
        ("uv", "run", "esteira", "record"),
        ("git", "add", "--all"),
        ("git", "commit", "--quiet", "--no-verify", "-m", message),
        ("uv", "run", "dvc", "push"),
    ):
        run(project, *words)


def run(folder: Path, *words: str) -> str:
    """Run a command; return what it prints. Ends with its words where it fails."""
    env = os.environ | {"PWD": str(folder)}
    done = subprocess.run(words, cwd=folder, env=env, capture_output=True, text=True)
    if done.returncode:
        sys.exit(f"pictures: `{' '.join(words)}` failed:\n{done.stdout}{done.stderr}")
    return done.stdout


def opened(browser: Browser, page: Path) -> Page:
    """Open a page in a window of WIDTH by HEIGHT."""
    shown = browser.new_page(viewport={"width": WIDTH, "height": HEIGHT})
    shown.goto(page.as_uri())
    return shown


if __name__ == "__main__":
    main()
