"""What the facts say for and against a merge: what refuses it, and what a reviewer must look at."""

from esteira.pull_request.facts import Facts

NOT_CHECKED = "whether the data is pushed was not checked"


def refusals(facts: Facts) -> list[str]:
    """Return why the pull request must not be merged as it is, one clause for each; [] is a yes."""
    found = [facts.problem] if facts.problem else []
    if facts.run.state == "failed":
        failed = [stage.name for stage in facts.run.stages if stage.state == "failed"]
        found.append(f"stage {failed[0]} failed" if failed else "the line failed")
    found += [f"{metric.name} {metric.fault}" for metric in facts.metrics if metric.fault]
    broken = [gate.metric for gate in facts.gates if gate.reason]
    if broken:
        found.append(f"{len(broken)} of {len(facts.gates)} gates refuse ({', '.join(broken)})")
    if not facts.gates and not found:
        found.append("no gate was judged")
    if facts.lock.state == "stale":
        found.append("dvc.lock is stale")
    elif facts.lock.state == "unknown" and not found:
        found.append("dvc.lock was not checked")
    if facts.pushed.state == "missing":
        found.append(f"{len(facts.pushed.paths)} of DVC's files are not pushed")
    return found


def remarks(facts: Facts) -> list[str]:
    """Return what a reviewer must look at although nothing refuses it, one clause for each."""
    found = []
    gone = [
        metric.name
        for metric in facts.metrics
        if metric.base is not None and metric.now is None and not metric.fault
    ]
    if gone and facts.run.state != "failed":
        found.append(f"{len(gone)} metrics are gone ({', '.join(gone[:3])})")
    removed = [stage.name for stage in facts.run.stages if stage.state == "removed"]
    if removed:
        found.append(f"stages removed: {', '.join(removed[:3])}")
    if facts.drift and facts.drift.action != "keep":
        found.append(f"the drift check says {facts.drift.action}")
    if facts.rules:
        found.append("gates.yaml is changed")
    if facts.pushed.state == "unchecked" and facts.fork:
        found.append("from a fork, so its data was not checked")
    elif facts.pushed.state == "unchecked" and facts.lock.state == "fresh":
        found.append(NOT_CHECKED)
    return found
