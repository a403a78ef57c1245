# `make help` lists the targets.

PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin

# The demo company that `make run` makes up.
ACCOUNTS ?= 1000
DAYS ?= 365
SEED ?= 7

export DBT_PROFILES_DIR := $(CURDIR)
export DBT_SEND_ANONYMOUS_USAGE_STATS := false

.DEFAULT_GOAL := help

.PHONY: help
help: ## List the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) \
		| awk -F ':.*## ' '{printf "  make %-12s %s\n", $$1, $$2}'

# A stamp per lock file: the environment is rebuilt when its lock changes.
$(VENV)/base.stamp: requirements.lock requirements-installer.lock pyproject.toml
	@PYTHON="$(PYTHON)" VENV="$(VENV)" ./scripts/make_environment.sh \
		requirements.lock
	@touch $@

$(VENV)/dev.stamp: requirements-dev.lock requirements-installer.lock pyproject.toml
	@PYTHON="$(PYTHON)" VENV="$(VENV)" ./scripts/make_environment.sh \
		requirements-dev.lock
	@touch $@ $(VENV)/base.stamp

.PHONY: environment
environment: $(VENV)/base.stamp ## Build the Python environment

.PHONY: run
run: $(VENV)/base.stamp ## Demo company, dbt build, and who is about to leave
	@$(BIN)/python -m churn.run --accounts $(ACCOUNTS) --days $(DAYS) \
		--seed $(SEED)

.PHONY: test
test: $(VENV)/dev.stamp ## Everything that proves the project
	@$(BIN)/pytest

.PHONY: trino
trino: ## Fetch the Trino server that stands for Athena in tests
	@./scripts/install_trino.sh

# With TRINO_URL set, that server is used, and none is fetched.
ATHENA_TESTS ?= tests/athena
.PHONY: test-athena
test-athena: $(VENV)/dev.stamp ## The project on Athena, without AWS
	@[ -n "$(TRINO_URL)" ] || ./scripts/install_trino.sh
	@$(BIN)/pytest --numprocesses=0 $(ATHENA_TESTS)

.PHONY: test-spark
test-spark: $(VENV)/dev.stamp ## The part of the tests that needs Spark
	@$(BIN)/pytest tests/python/test_spark_*.py

.PHONY: lint
lint: $(VENV)/dev.stamp ## Style of SQL and Python
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/sqlfluff lint --disable-progress-bar models tests/data

.PHONY: docs
docs: $(VENV)/base.stamp ## The metadata dictionary, as one HTML file
	@$(BIN)/python -m churn docs

.PHONY: report
report: $(VENV)/base.stamp ## The model card, as one HTML file
	@$(BIN)/python -m churn report

.PHONY: dictionary
dictionary: $(VENV)/base.stamp ## YAML stubs for JSON paths nobody documented
	@$(BIN)/python -m churn.field_mapping

.PHONY: bench
bench: $(VENV)/bench.stamp ## Measure speed and memory into benchmarks/RESULTS.md
	@$(BIN)/python -m benchmarks --write

# Only the benchmarks compare with these tools, and draw.
$(VENV)/bench.stamp: $(VENV)/dev.stamp
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check \
		"polars>=1,<2" "matplotlib>=3.9,<4"
	@touch $@

# Both need the environment of the extra `spark`, which the developers' has.
.PHONY: spark
spark: $(VENV)/dev.stamp ## Build the seeds with Spark, in this process
	@$(BIN)/dbt build --target spark

.PHONY: spark-thrift
spark-thrift: $(VENV)/dev.stamp ## Start a Spark Thrift Server; ends with Ctrl-C
	@$(BIN)/python scripts/spark_thrift_server.py

.PHONY: lock
lock: $(VENV)/dev.stamp ## Resolve the dependencies again
	$(BIN)/uv pip compile $(LOCK_OPTIONS) --extra dev pyproject.toml \
		--output-file requirements-dev.lock
	$(BIN)/uv pip compile $(LOCK_OPTIONS) --constraint requirements-dev.lock \
		pyproject.toml --output-file requirements.lock
	echo uv | $(BIN)/uv pip compile $(LOCK_OPTIONS) - \
		--output-file requirements-installer.lock

LOCK_OPTIONS := --universal --python-version 3.11 --generate-hashes \
	--no-header --no-annotate --quiet

.PHONY: clean
clean: ## Remove the environment, the databases and all that was built
	rm -rf $(VENV) target logs data churn.duckdb churn.duckdb.wal \
		.pytest_cache .ruff_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
