# The line, for pods of a cluster: the project's packages, Git, and `in-clone`, which brings the code of
# one commit. From the project's folder, and again whenever uv.lock changes:
#   docker build -f deploy/line.Dockerfile -t registry.example/radar-line:1 .
# Pin the base by digest once you know it: `docker buildx imagetools inspect python:3.12-slim`.
FROM python:3.12-slim AS build
RUN pip install --no-cache-dir uv==0.13.8
WORKDIR /app
ENV UV_COMPILE_BYTECODE=1 UV_LINK_MODE=copy UV_PYTHON_DOWNLOADS=never
COPY pyproject.toml uv.lock README.md LICENSE ./
COPY vendor vendor
COPY src src
RUN uv sync --locked --no-dev

FROM python:3.12-slim
# hadolint ignore=DL3008
RUN apt-get update && apt-get install --yes --no-install-recommends git && rm -rf /var/lib/apt/lists/* \
    && useradd --system --uid 10001 --no-create-home esteira
WORKDIR /app
COPY --from=build /app /app
COPY deploy/in-clone.sh /usr/local/bin/in-clone
USER 10001
# Code is the clone's, before what the image was built from; all that is written lies below /tmp.
ENV PATH=/app/.venv/bin:$PATH PYTHONPATH=src:vendor PYTHONUNBUFFERED=1 HOME=/tmp DVC_SITE_CACHE_DIR=/tmp/dvc
CMD ["in-clone"]
