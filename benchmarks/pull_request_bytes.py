"""What a pull request downloads from the remote, counted by an S3 server on loopback.

Side by side, each in a fresh clone:
  check    `esteira pull-request collect`, as in the workflow
  cached   `dvc repro --pull --allow-missing`: the same, without `--no-run-cache`
  pull     `dvc pull && dvc repro`, as in most tutorials
for a pull request that changes nothing of the line, and for one that changes a setting of `train`;
with the remote of a project that has run 1, 10 and 100 times. Past runs are objects of the same
number and sizes as the real one's, and run-cache entries, under other hashes: DVC addresses both by
content. Run it with `make benchmark-bytes`; it rewrites benchmarks/results/pull_request_bytes.md.
"""

import collections
import platform
import secrets
import shutil
import sys
import tempfile
import threading
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app
from werkzeug.serving import WSGIRequestHandler, make_server

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "tests"))

from helpers import bake, run  # noqa: E402

RUNS = (1, 10, 100)
ROWS, COLUMNS = 20_000, 20
BUCKET, PREFIX = "data", "radar"
KEYS = {"AWS_ACCESS_KEY_ID": "a", "AWS_SECRET_ACCESS_KEY": "b", "AWS_DEFAULT_REGION": "us-east-1"}
TABLE = f"""
import numpy, pandas
random = numpy.random.default_rng(0)
x = random.normal(size=({ROWS}, {COLUMNS})).round(4)
frame = pandas.DataFrame(x, columns=[f"x{{i}}" for i in range({COLUMNS})])
noise = random.normal(size={ROWS})
frame["churned"] = numpy.where(x[:, 0] + x[:, 1] + noise > 0, "yes", "no")
frame.to_csv("../customers.csv", index=False)
"""


class Silent(WSGIRequestHandler):
    """Writes no line for each request."""

    def log_request(self, *_: Any) -> None:
        """Say nothing."""


class Counter:
    """An S3 server that counts requests, and the bytes of its answers, by what was asked for."""

    def __init__(self) -> None:
        """Serve on a free port of loopback, from a thread."""
        self.app = DomainDispatcherApplication(create_backend_app)
        self.server = make_server("127.0.0.1", 0, self.count, threaded=True, request_handler=Silent)
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        self.seen: collections.Counter[str] = collections.Counter()
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def count(self, environ: dict[str, Any], start: Callable[..., Any]) -> Iterable[bytes]:
        """Answer as moto does, and note what it was."""
        body = b"".join(self.app(environ, start))
        path, method = environ["PATH_INFO"], environ["REQUEST_METHOD"]
        kind = "other"
        if method == "GET" and "/files/md5/" in path:
            kind = "data"
        elif method == "GET" and "/runs/" in path:
            kind = "run cache"
        self.seen[f"{kind} bytes"] += len(body)
        self.seen["requests"] += 1
        return [body]


def past(counter: Counter, count: int, keys: dict[str, bytes]) -> None:
    """Put `count` past runs beside the real one: its objects and entries under other hashes."""
    import botocore.session

    client = botocore.session.Session().create_client(
        "s3",
        endpoint_url=counter.url,
        region_name="us-east-1",
        aws_access_key_id="a",
        aws_secret_access_key="b",  # noqa: S106 - moto does not look
    )
    for _ in range(count):
        for key, content in keys.items():
            hashed = secrets.token_hex(16 if "/md5/" in key else 32)
            if "/md5/" in key:
                name = f"{PREFIX}/files/md5/{hashed[:2]}/{hashed[2:]}"
                content = secrets.token_bytes(len(content))
            else:
                name = f"{PREFIX}/runs/{hashed[:2]}/{hashed}/{secrets.token_hex(32)}"
            client.put_object(Bucket=BUCKET, Key=name, Body=content)


def objects(project: Path) -> dict[str, bytes]:
    """Return what the first run pushed, as {key: content}."""
    cache = project / ".dvc" / "cache"
    return {
        p.relative_to(cache).as_posix(): p.read_bytes() for p in cache.rglob("*") if p.is_file()
    }


def prepare(folder: Path, counter: Counter) -> Path:
    """Return a project of some size, reproduced and pushed, with a branch for each pull request."""
    project = bake(folder, lock=True)
    run(project, "uv", "sync", "--locked", env={"UV_NO_SYNC": "0"})
    run(project, "python", "-c", TABLE)
    run(project, "esteira", "adopt", "../customers.csv", "--target", "churned", "--force")
    for key, value in {"url": f"s3://{BUCKET}/{PREFIX}", "endpointurl": counter.url}.items():
        run(project, "dvc", "remote", "modify", "storage", key, value)
    run(project, "dvc", "repro")
    run(project, "git", "add", "--all")
    run(project, "git", "commit", "--quiet", "--no-verify", "-m", "Adopt the table")
    run(
        project,
        "python",
        "-c",
        "import botocore.session as b; b.Session().create_client('s3', "
        f"endpoint_url={counter.url!r}).create_bucket(Bucket={BUCKET!r})",
        env=KEYS,
    )
    run(project, "dvc", "push", "--run-cache", env=KEYS)
    for branch, edit in {
        "unchanged": ("README.md", "#", "# "),
        "train only": ("params.yaml", "hyperparameters: {}", "hyperparameters: {C: 0.5}"),
    }.items():
        run(project, "git", "checkout", "--quiet", "-b", branch.replace(" ", "-"), "main")
        file = project / edit[0]
        text = file.read_text(encoding="utf-8")
        if edit[1] not in text:
            raise SystemExit(f"{edit[1]!r} is not in {edit[0]}")
        file.write_text(text.replace(*edit[1:], 1), encoding="utf-8")
        run(project, "git", "commit", "--quiet", "--no-verify", "--all", "-m", branch)
        run(project, "git", "checkout", "--quiet", "main")
    return project


WAYS = {
    "check": [["esteira", "pull-request", "collect", "--base", "origin/main"]],
    "cached": [["dvc", "repro", "--pull", "--allow-missing"]],
    "pull": [["dvc", "pull"], ["dvc", "repro"]],
}


def measure(project: Path, counter: Counter, branch: str, way: str) -> collections.Counter[str]:
    """Do it in a fresh clone; return what was asked of the server."""
    with tempfile.TemporaryDirectory() as folder:
        clone = Path(folder) / project.name
        name = branch.replace(" ", "-")
        run(project, "git", "clone", "--quiet", "--branch", name, str(project), str(clone))
        counter.seen.clear()
        for command in WAYS[way]:
            run(clone, *command, env=KEYS | {"DVC_SITE_CACHE_DIR": str(Path(folder) / "site")})
        shutil.rmtree(clone)
        return counter.seen.copy()


def main() -> None:
    """Measure each way at each age of the project; write the table."""
    lines = ["| pull request | past runs | way | data, kB | run cache, kB | other, kB | requests |",
             "| --- | --: | --- | --: | --: | --: | --: |"]  # fmt: skip
    counter, done = Counter(), 1
    with tempfile.TemporaryDirectory() as folder:
        project = prepare(Path(folder), counter)
        keys = objects(project)
        total = sum(len(content) for key, content in keys.items() if "md5" in key) / 1000
        for age in RUNS:
            past(counter, age - done, keys)
            done = age
            for branch in ("unchanged", "train only"):
                for way in WAYS:
                    seen = measure(project, counter, branch, way)
                    kinds = ("data", "run cache", "other")
                    figures = " | ".join(f"{seen[f'{kind} bytes'] / 1000:,.1f}" for kind in kinds)
                    lines.append(f"| {branch} | {age} | {way} | {figures} | {seen['requests']} |")
                    print(lines[-1], file=sys.stderr)
    files = len([key for key in keys if "md5" in key])
    note = (
        "`check` is `esteira pull-request collect`, "
        "`cached` is `dvc repro --pull --allow-missing`, "
        f"`pull` is `dvc pull && dvc repro`. A table of {ROWS:,} × {COLUMNS + 1}; one run of the "
        f"line keeps {files} files of {total:,.0f} kB. Other: "
        "heads and lists; those of `check` name at most 256 prefixes. "
        f"Python {platform.python_version()}. `make benchmark-bytes` measures it again."
    )
    result = ROOT / "benchmarks" / "results" / "pull_request_bytes.md"
    result.write_text("\n".join(lines) + f"\n\n{note}\n", encoding="utf-8")


if __name__ == "__main__":
    main()
