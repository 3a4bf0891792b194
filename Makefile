# make demo    generate a project in demo/ and reproduce its pipeline
# make test    the template's tests
# make soak    ten times as many faults and hostile inputs as make test, ten minutes of load
# make test-slow   Airflow, Kubeflow's local runner and a cluster's Job run the whole line; the rehearsal, too
# make rehearsal   from a release to drift, a retrained model and the next release, step by step
# make lint    ruff over both houses, and types
# make benchmark-overhead   what DVC and imports add to the line's work
# make benchmark-bytes      what a pull request downloads
# make benchmark-drift-quality   false alarms and power of the drift check
# make benchmark-drift-expected  how well quality is expected where labels are not there yet
# make benchmark-drift-speed     its CPU time and memory beside four peers'
# make benchmark-serve           the service beside a bare one and MLflow's
# make benchmark-comparison     errors and power of the comparison of two models
# make benchmark-scale          how costs grow with rows, columns, stages, past runs and raw files
# make benchmark-memory         the line on a table larger than memory, here and on Dask, held to limits
# make pictures   those of README.md, from a real run
# make lock    newer versions: the project's constraints.txt, constraints-dev.txt, names that are taken
PYTHON ?= python3
PROJECT := {{cookiecutter.project_slug}}
UV_VERSION := 0.13.8
# One more than cores: tests wait as well, for servers and for each other.
WORKERS ?= $(shell $(PYTHON) -c 'import os; print((os.cpu_count() or 1) + 1)')

# Without bytecode every import costs four times as much.
unexport PYTHONDONTWRITEBYTECODE
unexport VIRTUAL_ENV
export RUFF_CACHE_DIR := $(CURDIR)/.cache/ruff
export PATH := $(CURDIR)/.venv/bin:$(PATH)

# Tests run side by side: threads of theirs that wait for a busy core cost more than they save.
test soak: export OMP_NUM_THREADS := 1
test soak: export OPENBLAS_NUM_THREADS := 1

help:
	@grep "^# make" Makefile

.PHONY: help demo test test-slow soak rehearsal pictures lint lock clean
.PHONY: benchmark-overhead benchmark-bytes benchmark-drift-quality benchmark-drift-speed benchmark-comparison benchmark-drift-expected benchmark-serve benchmark-scale benchmark-memory
.DELETE_ON_ERROR:

.cache/bootstrap/bin/uv:
	@$(PYTHON) -c 'import sys; sys.exit("Esteira needs Python 3.11 or newer; %s is %s. Try: make PYTHON=python3.12 ..." % (sys.executable, sys.version.split()[0]) if sys.version_info < (3, 11) else 0)'
	$(PYTHON) -m venv .cache/bootstrap
	.cache/bootstrap/bin/python -m pip install --quiet uv==$(UV_VERSION)

.venv/ready: .cache/bootstrap/bin/uv constraints-dev.txt
	.cache/bootstrap/bin/uv venv --quiet --clear --python $(PYTHON) .venv
	.cache/bootstrap/bin/uv pip install --quiet --compile-bytecode --python .venv -r constraints-dev.txt
	touch $@

# A demo needs no more than a squad: Cookiecutter and uv.
.cache/cookiecutter/ready: .cache/bootstrap/bin/uv constraints-dev.txt
	.cache/bootstrap/bin/uv venv --quiet --clear --python $(PYTHON) .cache/cookiecutter
	.cache/bootstrap/bin/uv pip install --quiet --compile-bytecode --python .cache/cookiecutter \
		--constraints constraints-dev.txt cookiecutter uv
	touch $@

demo: export PATH := $(CURDIR)/.cache/cookiecutter/bin:$(PATH)
demo: .cache/cookiecutter/ready
	.cache/cookiecutter/bin/python scripts/demo.py

test: .venv/ready
	.venv/bin/pytest -n $(WORKERS) --dist worksteal $(ARGS)

test-slow: .venv/ready
	ESTEIRA_SLOW=1 .venv/bin/pytest tests/test_airflow.py tests/test_kubeflow.py tests/test_clusters.py tests/test_rehearsal.py $(ARGS)

rehearsal: .venv/ready
	ESTEIRA_SLOW=1 .venv/bin/pytest -s tests/test_rehearsal.py $(ARGS)

soak: .venv/ready
	ESTEIRA_SOAK=10 .venv/bin/pytest -n $(WORKERS) tests/test_faults.py tests/test_hostile_answers.py tests/test_serve_load.py $(ARGS)

# The generated project's own settings leave vendor/ out, so it is named here.
pictures: .venv/ready
	.venv/bin/python scripts/pictures.py

lint: .venv/ready
	.venv/bin/ruff check . && .venv/bin/ruff format --check .
	.venv/bin/ruff check --config pyproject.toml "$(PROJECT)/vendor"
	.venv/bin/ruff format --config pyproject.toml --check "$(PROJECT)/vendor"
	@mkdir -p .cache/lint && ln -sfn "../../$(PROJECT)/src/{{cookiecutter.package_name}}" .cache/lint/squad
	.venv/bin/pyrefly check --python-interpreter-path .venv/bin/python --output-format min-text

benchmark-overhead: .venv/ready
	.venv/bin/python benchmarks/repro_overhead.py

benchmark-bytes: .venv/ready
	.venv/bin/python benchmarks/pull_request_bytes.py

benchmark-drift-quality: .venv/ready
	.venv/bin/python benchmarks/drift_quality.py --runs 100 --seed 50000 --write

benchmark-drift-expected: .venv/ready
	.venv/bin/python benchmarks/drift_expected.py --runs 100 --write

benchmark-drift-speed: .venv/ready
	.venv/bin/python benchmarks/drift_speed.py --write

benchmark-serve: .venv/ready
	.venv/bin/python benchmarks/serve.py --write

benchmark-comparison: .venv/ready
	.venv/bin/python benchmarks/comparison.py --runs 200 --seed 1 --write

benchmark-scale: .venv/ready
	.venv/bin/python benchmarks/scale.py --write $(ARGS)

benchmark-memory: .venv/ready
	.venv/bin/python benchmarks/larger_than_memory.py --write $(ARGS)

lock: .cache/bootstrap/bin/uv
	$(PYTHON) scripts/lock.py
	$(MAKE) .venv/ready
	.venv/bin/python scripts/taken.py

clean:
	rm -rf .venv .cache demo
