"""Send a record to MLflow: run by `mirror`, in an environment that has MLflow and nothing of ours.

Reads the record as JSON, and prints what was done as JSON. Exits with a sentence on failure.
"""

import json
import sys
from pathlib import Path
from typing import Any

KEY = "esteira.key"
GTO = "gto.version"


def main() -> None:
    """Renew the record's run, or make it; then let the registry follow its versions."""
    from mlflow.exceptions import MlflowException  # type: ignore[import-not-found]

    record = json.load(sys.stdin)
    try:
        print(json.dumps(send(record)))
    except (MlflowException, OSError) as error:
        sys.exit(" ".join(str(error).split())[:300])


def send(record: dict[str, Any]) -> dict[str, Any]:
    """Send all of it; return the run's identifier, whether it is new, and the versions made."""
    from mlflow.tracking import MlflowClient  # type: ignore[import-not-found]

    client = MlflowClient()
    run, is_new = _run(client, record)
    _log(client, run, record)
    client.set_terminated(run, "FINISHED")
    return {"run": run, "new": is_new, "versions": list(_register(client, record))}


def _run(client: Any, record: dict[str, Any]) -> tuple[str, bool]:
    experiment = client.get_experiment_by_name(record["experiment"])
    place = (
        experiment.experiment_id if experiment else client.create_experiment(record["experiment"])
    )
    known = client.search_runs([place], f"tags.`{KEY}` = '{record['key']}'", max_results=1)
    if known:
        return known[0].info.run_id, False
    tags = {**record["tags"], KEY: record["key"], "mlflow.runName": record["name"]}
    return client.create_run(place, tags=tags).info.run_id, True


def _log(client: Any, run: str, record: dict[str, Any]) -> None:
    from mlflow.entities import (  # type: ignore[import-not-found]
        Dataset,
        DatasetInput,
        InputTag,
        Metric,
        Param,
    )

    there = client.get_run(run).data
    params = [Param(k, v) for k, v in record["params"].items() if k not in there.params]
    metrics = [
        Metric(k, v, 0, 0) for k, v in record["metrics"].items() if there.metrics.get(k) != v
    ]
    for first in range(0, max(len(params), len(metrics), 1), 100):
        part = slice(first, first + 100)
        client.log_batch(run, metrics=metrics[part], params=params[part])
    inputs = [
        DatasetInput(
            Dataset(name=data["name"], digest=data["digest"][:36], source_type="dvc",
                    source=json.dumps({"path": data["name"], "md5": data["digest"]})),
            [InputTag("mlflow.data.context", data["use"])],
        )
        for data in record["datasets"]
    ]  # fmt: skip
    client.log_inputs(run, datasets=inputs)
    for artifact in record["artifacts"]:
        is_folder = Path(artifact["path"]).is_dir()
        send_it = client.log_artifacts if is_folder else client.log_artifact
        send_it(run, artifact["path"], artifact["to"])


def _register(client: Any, record: dict[str, Any]) -> Any:
    """Make a version for each release whose run is there; yield the names of new ones.

    Stages become aliases.
    """
    from mlflow.exceptions import MlflowException  # type: ignore[import-not-found]

    if not record["versions"]:
        return
    model = record["experiment"]
    try:
        client.create_registered_model(model)
    except MlflowException:  # it is there
        client.get_registered_model(model)
    known = {
        found.tags.get(GTO): found for found in client.search_model_versions(f"name='{model}'")
    }
    place = client.get_experiment_by_name(record["experiment"]).experiment_id
    for version in record["versions"]:
        found = known.get(version["name"])
        if found is None:
            commit = version["commit"]
            runs = client.search_runs([place], f"tags.`mlflow.source.git.commit` = '{commit}'")
            if not runs:
                continue  # its commit was not mirrored
            source = f"{runs[0].info.artifact_uri}/model"
            found = client.create_model_version(
                model, source, runs[0].info.run_id, tags={GTO: version["name"]}
            )
            yield version["name"]
        for stage in version["stages"]:
            client.set_registered_model_alias(model, stage, found.version)


if __name__ == "__main__":
    main()
