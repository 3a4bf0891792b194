"""May a version be used? Its own gates, and a comparison with what is in production, say so."""

from dataclasses import dataclass

from esteira.comparison import says
from esteira.gate import Verdict, judge_all
from esteira.line.errors import UserError
from esteira.repository import base, git, releases
from esteira.repository.releases import Version


@dataclass(frozen=True)
class Asked:
    """What a tag asks for: that a version is one, or that it is put to a stage."""

    version: Version
    stage: str  # "" for a version alone


@dataclass(frozen=True)
class Checked:
    """What was found of a version."""

    asked: Asked
    against: Version | None  # what it was compared with; None where nothing is in use
    not_compared: str  # why it was not, although something is in use; one sentence
    verdicts: tuple[Verdict, ...]

    @property
    def refusals(self) -> list[str]:
        """One sentence for each gate that says no."""
        return [verdict.reason for verdict in self.verdicts if verdict.reason]

    def says(self) -> list[str]:
        """Say what was compared, and what came of it."""
        if self.against is None:
            first = "Nothing is in production yet, so it was compared with nothing."
        elif self.not_compared:
            first = f"Not compared with {self.against.tag}: {self.not_compared}."
        else:
            first = f"Compared with {self.against.tag}, on the same rows."
        lines = [f"{self.asked.version.tag}: {len(self.verdicts)} gates.", first]
        for verdict in self.verdicts:
            if verdict.comparison:
                lines.append(f"{verdict.metric}: {says(verdict.comparison)}")
            elif verdict.not_compared:
                lines.append(f"{verdict.metric} is not compared: {verdict.not_compared}")
        return lines


def asked_by(tag: str) -> Asked:
    """Return what a tag asks for: `model@v1.2.0`, `v1.2.0`, or `model#prod#3`.

    Raises UserError for a tag that is no version's, and for one whose commit has no version.
    """
    if "#" not in tag:
        return Asked(releases.find(tag), "")
    stage = releases.stage_of(tag)
    commit = git.commit(f"refs/tags/{tag}")
    if stage is None or commit is None:
        raise UserError(
            f"{tag} is no tag that puts a version to a stage: see `esteira model list`."
        )
    for version in releases.versions():
        if version.commit == commit:
            return Asked(version, stage)
    raise UserError(
        f"{tag} is on a commit that has no version: release it first, by a tag such as"
        f" {releases.artifact()}@v1.0.0."
    )


def check(tag: str, stage: str) -> Checked:
    """Judge the version of a tag by its gates, and beside the one that `stage` has besides it.

    The working tree must be the version's commit. Raises UserError where it is not.
    """
    asked = asked_by(tag)
    if git.commit("HEAD") != asked.version.commit:
        tag = asked.version.tag
        raise UserError(f"{tag} is another commit: `git checkout {tag}` first.")
    trail = releases.history(stage, releases.versions())
    others = [version for version in trail if version.commit != asked.version.commit]
    against = others[-1] if others else None
    not_compared = base.difference_in_kind(against.commit) if against else ""
    commit = against.commit if against and not not_compared else None
    return Checked(asked, against, not_compared, tuple(judge_all(commit)))
