"""What the gates have refused on the way to a version: for its card, which tells of it."""

from dataclasses import dataclass
from html import escape

from esteira.gate import EVALUATION, Gates, broken, read_metrics
from esteira.github.markdown import code, row, words
from esteira.line.errors import UserError
from esteira.line.params import parse
from esteira.repository import git, releases, snapshot
from esteira.repository.releases import Version

MOST_COMMITS = 50
TITLE = "What gates refused on the way"


@dataclass(frozen=True)
class Refused:
    """One rule that one commit broke."""

    commit: str
    date: str  # YYYY-MM-DD
    reason: str


def on_the_way(version: Version) -> list[Refused]:
    """Return what the commits since the version before broke of their own gates, newest first.

    Of the branch's own commits that changed the evaluation, MOST_COMMITS at most; the version's own
    is not among them. What a pull request refused and never merged is in no history.
    """
    known = releases.versions()
    place = [each.name for each in known].index(version.name)
    before = next((each.commit for each in known[place + 1 :]), None)
    found: list[Refused] = []
    for commit in git.commits_that_changed(EVALUATION, version.commit, MOST_COMMITS):
        if commit == before:
            break
        if commit != version.commit:
            found += _refusals(commit)
    return found


def _refusals(commit: str) -> list[Refused]:
    date = git.run("log", "-1", "--format=%cs", commit).strip()
    try:
        gates = parse(snapshot.yaml_of("gates.yaml", commit), Gates, "gates.yaml")
    except UserError:
        return []  # there were none yet, or they could not be read
    reasons = []
    for rule in gates.rules:
        try:
            reasons.append(broken(rule, read_metrics(rule.file, commit).number(rule.metric)))
        except UserError as error:
            reasons.append(str(error))
    return [Refused(commit[:10], date, reason) for reason in reasons if reason]


def in_markdown(refused: list[Refused]) -> str:
    """Return the section of the card in Markdown."""
    if not refused:
        return f"\n## {TITLE}\n\nNothing, in the commits since the version before.\n"
    lines = [row(code(each.commit), each.date, words(each.reason)) for each in refused]
    head = "| Commit | Date | Why |\n| --- | --- | --- |"
    return "\n".join([f"\n## {TITLE}\n", head, *lines]) + "\n"


def in_page(refused: list[Refused]) -> str:
    """Return the section of the card's page."""
    if not refused:
        return f"<h2>{TITLE}</h2>\n<p>Nothing, in the commits since the version before.</p>\n"
    rows = "".join(
        f"<tr><td><code>{each.commit}</code></td><td>{each.date}</td>"
        f"<td>{escape(each.reason)}</td></tr>\n"
        for each in refused
    )
    return f"<h2>{TITLE}</h2>\n<table>\n{rows}</table>\n"
