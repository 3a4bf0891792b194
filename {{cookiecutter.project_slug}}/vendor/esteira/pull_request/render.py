"""Render the facts of a pull request as Markdown. Every text in them is taken as hostile."""

import math
import os
import re
import unicodedata
from collections.abc import Iterable
from typing import NamedTuple

from esteira.pull_request import facts as f

MARKER = "<!-- esteira:pull-request -->"
COMMENT_BYTES = 65_000  # GitHub refuses a comment of more than 65,536 characters
SUMMARY_BYTES = 1_000_000  # and a job summary of more than 1 MiB
MOST_ROWS = 12  # of a table outside of the details
SHORTENED = "_Shortened to fit: the whole report is in the summary of the run._"
ADVICE = {
    "keep": "nothing to do.",
    "retrain": "retrain on recent data.",
    "rework": "rework features, target or model; retraining alone is a stop-gap.",
    "unusable": "mend the batch where it is made; do not score it.",
}


class Place(NamedTuple):
    """Where the report was made: known from GitHub, not from the pull request's own code."""

    repository: str = ""  # https://github.com/owner/name
    run: str = ""  # the run's page
    moved: str = ""  # the pull request's newest commit, where it is not the one reported
    red: bool = False  # the run failed, whatever the facts say: its tests, for one
    bytes: int = COMMENT_BYTES


def here() -> str:
    """Return the page of the workflow run that this is part of, or ""."""
    known = [os.environ.get(f"GITHUB_{name}") for name in ("SERVER_URL", "REPOSITORY", "RUN_ID")]
    return "{}/{}/actions/runs/{}".format(*known) if all(known) else ""


def clean(text: str, length: int = 120) -> str:
    """Put a text on one line, without control or invisible characters, and cut it."""
    kept = "".join(" " if c.isspace() else c for c in text)
    kept = "".join(c for c in kept if unicodedata.category(c)[0] != "C")
    kept = " ".join(kept.split())
    return kept if len(kept) <= length else kept[: length - 1] + "…"


def code(text: str, length: int = 80) -> str:
    """Show a text as code: GitHub makes no link, mention, image or HTML of it."""
    return f"`{clean(text, length).replace('`', chr(39)) or ' '}`"


def plain(text: str, length: int = 300) -> str:
    """Show a text as words: markup is escaped, mentions, links and references are defused."""
    text = re.sub(r"([@#:]|www(?=\.)|GH(?=-))(?=\S)", "\\1\u200b", clean(text, length))
    text = text.replace("&", "&amp;").replace("<", "&lt;")
    return re.sub(r"([\\`*{}\[\]()#!~$>]|\b_|_\b)", r"\\\1", text)


def number(value: float | None) -> str:
    """Show a number with up to six significant digits; an absent one as a dash."""
    if value is None:
        return "–"
    return f"{value:.0f}" if value == round(value) and abs(value) < 1e15 else f"{value:.6g}"


def delta(base: float, now: float) -> str:
    """Show a difference, signed, with three significant digits."""
    change = float(f"{now - base:.3g}")
    return "0" if change == 0 else f"{change:+g}"


def size(count: int | None) -> str:
    """Show bytes as people write them."""
    if count is None:
        return "–"
    power = min(4, int(math.log(count, 1000))) if count else 0
    return f"{count / 1000**power:.{1 if power else 0}f} {('B', 'kB', 'MB', 'GB', 'TB')[power]}"


def table(header: str, rows: Iterable[Iterable[str]], most: int = MOST_ROWS) -> str:
    """Make a table; a column whose title ends in `:` is set to the right."""
    titles = header.split(" | ")
    rule = " | ".join("--:" if title.endswith(":") else "---" for title in titles)
    lines = [f"| {' | '.join(title.rstrip(':') for title in titles)} |", f"| {rule} |"]
    rows = [[cell.replace("|", "\\|") for cell in row] for row in rows]
    lines += [f"| {' | '.join(row)} |" for row in rows[:most]]
    if len(rows) > most:
        lines.append(f"| … and {len(rows) - most} more |{' |' * (len(titles) - 1)}")
    return "\n".join(lines)


def movement(gate: f.Gate, noise: dict[str, float]) -> str:
    """Say how a gate's metric moved, by its declared direction: `+0.003 better`."""
    if gate.base is None or gate.now is None:
        return "–"
    gain = (gate.now - gate.base) * (1 if gate.better == "higher" else -1)
    if gain == 0:
        return "0"
    small = abs(gain) <= noise.get(gate.metric, -1)
    return f"{delta(gate.base, gate.now)} {'better' if gain > 0 else 'worse'}" + (
        ", within noise" if small else ""
    )


def lead(facts: f.Facts) -> str:
    """Say in a clause how the first gate's metric moved."""
    rule = next((gate for gate in facts.gates if gate.limit is not None), None)
    if rule is None:
        return "nothing was measured"
    name = code(rule.metric, 60)
    if rule.now is None:
        return f"{name} is missing"
    if rule.base is None:
        return f"{name} {number(rule.now)}, with no base yet"
    if rule.base == rule.now:
        return f"{name} {number(rule.now)}, unchanged"
    moved = movement(rule, facts.noise).replace(" ", ", ", 1)
    return f"{name} {number(rule.base)} → {number(rule.now)} ({moved})"


def sentence(facts: f.Facts, red: bool = False) -> str:
    """Give the verdict in one sentence; `red` where the run failed beside the facts."""
    refused, look = f.faults(facts), f.warnings(facts)
    if red and not refused:
        refused = ["the run failed all the same, such as in the project's tests: see its log"]
    icon = "❌" if refused else "⚠️" if look else "✅"
    said = []
    if facts.run.state == "impossible":
        said.append("not reproduced, the numbers are those that were committed")
    elif facts.gates:
        said.append(lead(facts))
        if not any(gate.reason for gate in facts.gates):
            said.append(f"{len(facts.gates)} of {len(facts.gates)} gates pass")
        if facts.drift and facts.drift.action == "keep":
            said.append("no drift")
    if facts.lock.state == "fresh":
        said.append("lock is fresh")
    said += [plain(clause) for clause in refused + look]
    return f"### {icon} {'; '.join(said)}"


def gates(facts: f.Facts) -> str:
    """The gates, each with its direction, movement, noise band, terms and verdict."""
    if not facts.gates:
        return ""
    rows = []
    for gate in facts.gates:
        sign, worse = ("≥", "−") if gate.better == "higher" else ("≤", "+")
        terms = [f"{sign} {number(gate.limit)}"] if gate.limit is not None else []
        if gate.regression is not None:
            terms.append(f"{sign} base {worse} {number(gate.regression)}")
        noise = (
            facts.noise.get(gate.metric) if gate.file == "reports/evaluate/metrics.json" else None
        )
        now = plain(gate.word, 40) or number(gate.now)
        verdict = f"❌ {plain(gate.reason)}" if gate.reason else "✅"
        better = gate.better or "–"
        must = " and ".join(terms) or "as gates.yaml says"
        band = "–" if noise is None else f"± {number(noise)}"
        rows.append(
            [code(gate.metric), better, number(gate.base), now, movement(gate, facts.noise), band,
             must, verdict]
        )  # fmt: skip
    text = table("gate | better | base: | now: | change: | noise: | must be | verdict", rows, 50)
    if facts.noise:
        text += f"\n\nNoise: how far the metric moves between {facts.noise_seeds} seeds."
    else:
        text += "\n\nNoise is not measured yet: `uv run esteira noise` on main, then commit."
    return text


def drift(facts: f.Facts) -> str:
    """The drift check's verdict, its worst columns, and what to do."""
    found = facts.drift
    if found is None:
        return ""
    text = (
        f"**Drift: {found.action}.** {found.drifted} of {found.checked} columns drifted; "
        f"{ADVICE[found.action]}"
    )
    if found.action == "keep" and not found.drifted:
        return text
    rows = [
        [code(c.name), f"{c.effect:.3g} ×", "yes" if c.drifted else "no", plain(c.says, 160)]
        for c in sorted(found.columns, key=lambda c: not c.drifted)[:3]
    ]  # fmt: skip
    return f"{text}\n\n{table('worst columns | effect / threshold: | drifted | what', rows)}"


def stages(facts: f.Facts) -> str:
    """Which stages ran, with their times, and which were taken from the lock."""
    run = facts.run
    by: dict[str, list[str]] = {}
    for stage in run.stages:
        seconds = f" {stage.seconds:.1f} s" if stage.seconds is not None else ""
        by.setdefault(stage.state, []).append(f"{code(stage.name, 40)}{seconds}")
    words = {"ran": "ran", "failed": "failed", "cached": "unchanged", "not reached": "not reached",
             "removed": "removed"}  # fmt: skip
    parts = []
    for state, word in words.items():
        if names := by.get(state, []):
            several = state == "cached" and len(names) > 3
            parts.append(f"{len(names)} {word}" if several else f"{word} {', '.join(names[:20])}")
    lines = [f"**Stages:** {'; '.join(parts)}."] if parts else []
    if run.state == "impossible":
        lines.append(
            f"**Not reproduced:** {plain(run.reason.rstrip('.'))}. The numbers above are those "
            "that were committed, not computed here."
        )
    return "\n\n".join(lines)


def changed(facts: f.Facts) -> str:
    """What the pull request changed: settings, schema, gates, data."""
    parts = []
    for title, entries in (
        ("settings", facts.params), ("columns of schema.yaml", facts.columns),
        ("rules of gates.yaml", facts.rules),
    ):  # fmt: skip
        if entries:
            rows = [
                [code(c.name), *(code(v) if v is not None else "–" for v in (c.old, c.new))]
                for c in entries
            ]
            parts.append(table(f"{title} | before | now", rows))
    if facts.data:
        rows = [
            [code(d.path), *(code(h[:8]) if h else "–" for h in (d.old_hash, d.new_hash)),
             size(d.old_size), size(d.new_size)]
            for d in facts.data
        ]  # fmt: skip
        parts.append(table("data | before | now | size before: | size now:", rows))
        counted = [
            m
            for m in facts.metrics
            if m.file == "reports/validate/metrics.json" and m.name == "rows"
        ]
        if counted and counted[0].base != counted[0].now:
            parts.append(
                f"Rows in the table: {number(counted[0].base)} → {number(counted[0].now)}."
            )
    return "**What changed**\n\n" + "\n\n".join(parts) if parts else ""


def environment(facts: f.Facts) -> str:
    """How the environment that made dvc.lock differs from the base's."""
    moved = [
        f"{plain(c.name, 40)} {plain(c.old or 'absent', 80)} → {plain(c.new or 'absent', 80)}"
        for c in facts.environment[:MOST_ROWS]
    ]
    more = len(facts.environment) - len(moved)
    moved += [f"and {more} more"] if more else []
    return f"**Environment:** {', '.join(moved)}." if moved else ""


def state(facts: f.Facts) -> str:
    """Whether the lock is fresh and the data is pushed."""
    stale = "; ".join(
        code(s.stage, 40) + (f" ({plain(s.why, 200)})" if s.why else "")
        for s in facts.lock.stages[:10]
    )
    lock = {
        "fresh": "dvc.lock is fresh",
        "stale": f"dvc.lock is stale: {stale}",
        "unknown": "dvc.lock was not checked",
    }[facts.lock.state]
    reason = facts.pushed.reason.rstrip(".")
    pushed = {
        "pushed": "all data is pushed",
        "missing": f"not pushed: {', '.join(code(path) for path in facts.pushed.paths[:10])}",
        "unchecked": "not checked" + (f": {plain(reason)}" if reason else ""),
    }[facts.pushed.state]
    return f"**Lock:** {lock}. **Remote:** {pushed}."


def remedy(facts: f.Facts) -> str:
    """The exact commands that mend a stale lock, unpushed data or a failed stage."""
    parts = []
    if facts.run.lines:
        lines = "\n".join(clean(line, 200) for line in facts.run.lines).replace("`", "'")
        parts.append(f"The last lines of the run:\n\n```text\n{lines}\n```")
    if facts.lock.state == "stale" and facts.run.state != "failed":
        parts.append(
            "To settle the lock, on this branch:\n\n```sh\nuv run dvc repro && uv run dvc push\n"
            "uv run esteira record && git add --all dvc.lock environment.json reports\n"
            'git commit -m "Reproduce the line" && git push\n```'
        )
    if facts.pushed.state == "missing":
        parts.append(
            "To push what is missing, then run the check again:\n\n```sh\nuv run dvc push\n```"
        )
    return "\n\n".join(parts)


def label(text: str, length: int = 24) -> str:
    """Make a text safe inside Mermaid's quotes."""
    return re.sub(r"[^\w .:+-]", " ", clean(text, length), flags=re.ASCII).strip() or "?"


def chart(title: str, unit: str, names: list[str], **series: list[float]) -> str:
    """Draw series (`line` or `bar`) of finite numbers over `names` with Mermaid."""
    values = [v for numbers in series.values() for v in numbers]
    low, high = min(values), max(values)
    margin = (high - low) * 0.1 or abs(high) * 0.1 or 1.0
    low = 0.0 if "bar" in series else low - margin
    drawn = [
        f"  {kind} [{', '.join(f'{v:.6g}' for v in numbers)}]" for kind, numbers in series.items()
    ]
    quoted = ", ".join(f'"{label(name)}"' for name in names)
    return "\n".join(
        ["```mermaid", "xychart-beta", f'  title "{label(title, 60)}"', f"  x-axis [{quoted}]",
         f'  y-axis "{label(unit)}" {low:.6g} --> {high + margin:.6g}', *drawn, "```"]
    )  # fmt: skip


def charts(facts: f.Facts) -> str:
    """At most two charts: the leading metric on its way here, and the worst columns of a drift."""
    parts = []
    rule = next((g for g in facts.gates if g.limit is not None and g.now is not None), None)
    if rule and facts.history and rule.base != rule.now:
        names = [point.commit[:7] for point in facts.history] + ["this"]
        values = [point.value for point in facts.history] + [rule.now]
        parts.append(chart(f"{rule.metric} on main and here", rule.metric, names, line=values))
    if facts.drift and facts.drift.action != "keep" and facts.drift.columns:
        worst = facts.drift.columns[:8]
        parts.append(
            chart("Drift by column - the line is the threshold", "times", [c.name for c in worst],
                  bar=[min(abs(c.effect), 1e6) for c in worst], line=[1.0] * len(worst))
        )  # fmt: skip
    return "\n\n".join(parts)


def details(facts: f.Facts, room: int) -> tuple[list[str], bool]:
    """Every metric and every column's drift, folded, in `room` bytes; and whether that is all."""
    metrics = [
        [code(m.file), code(m.name), number(m.base), plain(m.fault) or number(m.now),
         delta(m.base, m.now) if None not in (m.base, m.now) else "–"]
        for m in facts.metrics
    ]  # fmt: skip
    columns = [
        [code(c.name), f"{c.effect:.3g}", "yes" if c.drifted else "no", plain(c.says, 160)]
        for c in (facts.drift.columns if facts.drift else [])
    ]
    blocks, complete = [], True
    for title, header, rows in (
        ("All metrics", "file | metric | base: | now: | change:", metrics),
        ("Drift by column", "column | effect / threshold: | drifted | what", columns),
    ):
        head = f"<details><summary>{title} ({len(rows)})</summary>\n\n"
        room -= len((head + table(header, [])).encode()) + 100
        most = 0
        while most < len(rows) and (room := room - len(" | ".join(rows[most]).encode()) - 40) >= 0:
            most += 1
        complete = complete and most == len(rows)
        if most:
            blocks.append(f"{head}{table(header, rows, most)}\n\n</details>")
    return blocks, complete


def again(facts: f.Facts) -> str:
    """Three commands that reproduce the report."""
    what = f"pull/{facts.number}/head" if facts.number else facts.head
    return (
        "Reproduce it:\n\n```sh\n"
        f"git fetch origin {what} && git checkout --detach {facts.head}\n"
        "uv sync --locked\n"
        "uv run dvc repro --pull --allow-missing --no-run-cache\n```"
    )


def footer(facts: f.Facts, place: Place) -> str:
    """Links and commits."""
    words = [f"commit {facts.head[:10]}"]
    words.append(f"base {facts.base[:10]}" if facts.base else "no base")
    if place.run:
        words.append(f"[the run, its log and its artifacts]({place.run})")
    if facts.left_out:
        words.append(f"{facts.left_out} entries left out")
    return f"<sub>{' · '.join(words)}</sub>"


def render(facts: f.Facts, place: Place | None = None) -> str:
    """Return the report as Markdown, shortened to `place.bytes` bytes where it is longer."""
    place = place or Place()
    head = [MARKER]
    if place.moved:
        head.append(
            f"> The branch has moved on to {place.moved[:10]}; its report will replace this one."
        )
    head += [sentence(facts, place.red), remedy(facts)]
    order = (gates, drift, changed, environment, stages, state, charts)
    parts = {part: part(facts) for part in order}
    end = [again(facts), footer(facts, place)]

    def joined(*middle: str) -> str:
        return "\n\n".join(filter(None, [*head, *parts.values(), *middle, *end])) + "\n"

    whole = "\n\n".join(parts.values())
    for part in (charts, changed, environment, drift, stages, gates):
        if len(joined(SHORTENED).encode()) <= place.bytes:
            break
        parts[part] = ""
    folded, complete = details(facts, place.bytes - len(joined(SHORTENED).encode()))
    complete = complete and whole == "\n\n".join(parts.values())
    return joined(*folded, "" if complete else SHORTENED)


def absent(reason: str, place: Place) -> str:
    """Return the report for a run that left no usable facts; `reason` is one sentence."""
    see = f" See [the run]({place.run})." if place.run else ""
    return f"{MARKER}\n\n### ❌ The check left no report that can be read\n\n{plain(reason)}{see}\n"
