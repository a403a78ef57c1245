# `make help` lists the targets.

PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin

# Size and seed of the demo company of `make run`.
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

# One marker file per lock file, so that the environment is rebuilt when its lock changes.
$(VENV)/base.stamp: requirements.lock requirements-installer.lock \
		requirements-build.lock pyproject.toml
	@PYTHON="$(PYTHON)" VENV="$(VENV)" ./scripts/make_environment.sh \
		requirements.lock
	@touch $@

$(VENV)/dev.stamp: requirements-dev.lock requirements-installer.lock \
		requirements-build.lock pyproject.toml
	@PYTHON="$(PYTHON)" VENV="$(VENV)" ./scripts/make_environment.sh \
		requirements-dev.lock
	@touch $@ $(VENV)/base.stamp

.PHONY: environment
environment: $(VENV)/base.stamp ## Build the Python environment

.PHONY: run
run: $(VENV)/base.stamp ## Generate a demo company, build all, print the riskiest accounts
	@$(BIN)/churn run --accounts $(ACCOUNTS) --days $(DAYS) --seed $(SEED)

# The parts of `make check` run side by side, each with its own folder and database.
# An old make mixes their output.
CHECKS := check-build check-unit check-types check-style
.PHONY: check
check: $(VENV)/dev.stamp ## Style, types, unit tests and a build of the seeds, in a minute
	@$(MAKE) --no-print-directory --jobs=2 $(if $(filter output-sync,$(.FEATURES)),\
		--output-sync=target) $(CHECKS)

.PHONY: $(CHECKS)
check-style: $(VENV)/dev.stamp
	@$(BIN)/ruff check --quiet . && $(BIN)/ruff format --quiet --check .
	@$(BIN)/python scripts/lint_words.py
	@BIN=$(BIN) ./scripts/lint_changed_sql.sh

check-types: $(VENV)/dev.stamp
	@$(BIN)/mypy

check-unit: $(VENV)/dev.stamp
	@$(BIN)/pytest --numprocesses=0 -m "not slow" tests/unit

# The build starts from nothing, in target/check, beside the user's database.
check-build: $(VENV)/dev.stamp
	@mkdir -p target/check && rm -f target/check/churn.duckdb*
	@CHURN_DUCKDB_PATH=target/check/churn.duckdb $(BIN)/dbt --quiet build \
		--target-path target/check --log-path target/check
	@echo "The seeds are built and tested."

.PHONY: serve
serve: $(VENV)/base.stamp ## Serve the web page on http://127.0.0.1:8000
	@$(BIN)/churn serve

.PHONY: test
test: $(VENV)/dev.stamp ## Run all tests but the long ones
	@./scripts/install_test_programs.sh
	@$(BIN)/pytest

.PHONY: test-long
test-long: $(VENV)/dev.stamp ## Run the tests that `make test` leaves out
	@$(BIN)/pytest -m long

# Inputs of the long run; `make test` has a few hundred.
INPUTS ?= 1000000
.PHONY: fuzz
fuzz: $(VENV)/dev.stamp ## Read a million random records, files, requests and settings
	@CHURN_FUZZ_INPUTS=$(INPUTS) $(BIN)/pytest --numprocesses=4 tests/unit/test_fuzz*.py \
		tests/dbt/test_fuzz_seeds.py

.PHONY: test-faults
test-faults: $(VENV)/dev.stamp ## Fill disks, kill runs and turn the clock; compare the tables
	@$(BIN)/pytest --numprocesses=0 -m long tests/faults

# The tools have an environment and a lock of their own.
AUDIT_VENV ?= .venv-audit
$(AUDIT_VENV)/stamp: requirements-audit.lock requirements-installer.lock
	@PYTHON="$(PYTHON)" VENV="$(AUDIT_VENV)" WITHOUT_PROJECT=1 \
		./scripts/make_environment.sh requirements-audit.lock
	@touch $@

LOCKS := requirements-dev.lock deploy/kubernetes/image/requirements.lock \
	deploy/airflow/requirements.lock requirements-installer.lock requirements-build.lock

# `--strict` fails if a package cannot be looked up.
.PHONY: audit
audit: $(AUDIT_VENV)/stamp ## Look up the locked packages in PyPI's advisories
	@for lock in $(LOCKS); do \
		echo "== $$lock" && $(AUDIT_VENV)/bin/pip-audit --strict --require-hashes \
			--disable-pip --progress-spinner off --requirement $$lock || exit 1; \
	done

.PHONY: sbom
sbom: $(AUDIT_VENV)/stamp ## Write the bill of materials (CycloneDX) to target/sbom.json
	@mkdir -p target
	@$(AUDIT_VENV)/bin/cyclonedx-py requirements requirements.lock \
		--pyproject pyproject.toml --mc-type application --output-reproducible \
		--output-format JSON --output-file target/sbom.json
	@echo "Wrote target/sbom.json."

.PHONY: trino
trino: ## Fetch the Trino server that replaces Athena in tests
	@./scripts/install_trino.sh

# If TRINO_URL is set, that server is used and none is fetched.
ATHENA_TESTS ?= tests/athena
.PHONY: test-athena
test-athena: $(VENV)/dev.stamp ## Run the Athena tests, without AWS
	@[ -n "$(TRINO_URL)" ] || ./scripts/install_trino.sh
	@$(BIN)/pytest --numprocesses=0 $(ATHENA_TESTS)

# Airflow has an environment and a lock of its own, because it conflicts with dbt.
AIRFLOW_VENV ?= .venv-airflow
$(AIRFLOW_VENV)/stamp: deploy/airflow/requirements.lock $(VENV)/dev.stamp
	@PYTHON="$(PYTHON)" VENV="$(AIRFLOW_VENV)" WITHOUT_PROJECT=1 \
		./scripts/make_environment.sh deploy/airflow/requirements.lock
	@./scripts/install_postgresql.sh
	@touch $@

.PHONY: test-airflow
test-airflow: $(AIRFLOW_VENV)/stamp ## Run the DAG under Airflow, with PostgreSQL
	@AIRFLOW_VENV="$(abspath $(AIRFLOW_VENV))" $(BIN)/pytest --numprocesses=0 tests/airflow

.PHONY: test-spark
test-spark: $(VENV)/dev.stamp ## Run the Spark tests
	@$(BIN)/pytest tests/spark

.PHONY: test-cluster
test-cluster: $(VENV)/dev.stamp ## Build the seeds on a Spark cluster of several processes
	@$(BIN)/pytest --numprocesses=0 tests/cluster

.PHONY: control-plane
control-plane: ## Build a Kubernetes API server for the tests, from its Go modules
	@./scripts/install_control_plane.sh
	@./scripts/install_bubblewrap.sh
	@VENV="$(VENV)" ./scripts/install_kustomize.sh

.PHONY: test-kubernetes
test-kubernetes: $(VENV)/dev.stamp control-plane ## Check manifests and image against an API server
	@$(BIN)/pytest --numprocesses=0 tests/kubernetes

.PHONY: test-spot
test-spot: $(VENV)/dev.stamp control-plane ## Build the seeds on Kubernetes while executors are lost
	@$(BIN)/pytest --numprocesses=0 tests/spot

.PHONY: test-hdfs
test-hdfs: $(VENV)/dev.stamp ## Run Spark on a real HDFS, Hadoop's mini cluster
	@./scripts/install_hadoop.sh
	@$(BIN)/pytest --numprocesses=0 tests/hdfs

# Superset has an environment of its own, because its packages conflict with ours.
.superset/superset.stamp: deploy/superset/requirements.txt $(VENV)/dev.stamp
	@$(BIN)/uv venv --quiet --allow-existing --python $(BIN)/python .superset
	@$(BIN)/uv pip install --quiet --python .superset/bin/python -r $<
	@touch $@

.PHONY: test-bi
test-bi: .superset/superset.stamp ## Query the dashboard through Apache Superset
	@CHURN_SUPERSET_PYTHON=$(CURDIR)/.superset/bin/python \
		$(BIN)/pytest --numprocesses=0 tests/bi

.PHONY: lint
lint: $(VENV)/dev.stamp ## Check style and types of SQL and Python, and the words
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(BIN)/sqlfluff lint --disable-progress-bar models tests/data
	@$(BIN)/python scripts/lint_words.py
	@VENV="$(VENV)" ./scripts/install_kustomize.sh
	@$(BIN)/python scripts/lint_kubernetes.py

.PHONY: docs
docs: $(VENV)/base.stamp ## Write the docs site as one HTML file
	@$(BIN)/churn docs

.PHONY: report
report: $(VENV)/base.stamp ## Write the model card as one HTML file
	@$(BIN)/churn report

.PHONY: dictionary
dictionary: $(VENV)/base.stamp ## Print YAML stubs for undocumented JSON paths
	@$(BIN)/churn dictionary

.PHONY: bench
bench: $(VENV)/bench.stamp ## Run the benchmarks and write benchmarks/RESULTS.md
	@$(BIN)/python -m benchmarks --write

# Only the benchmarks need these packages.
$(VENV)/bench.stamp: $(VENV)/dev.stamp
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check \
		"polars>=1,<2" "matplotlib>=3.9,<4"
	@touch $@

# Both targets need the extra `spark`, which the development environment includes.
.PHONY: spark
spark: $(VENV)/dev.stamp ## Build the seeds on Spark, in this process
	@$(BIN)/dbt build --target spark

.PHONY: spark-thrift
spark-thrift: $(VENV)/dev.stamp ## Start a Spark Thrift Server; stop it with Ctrl-C
	@$(BIN)/python scripts/spark_thrift_server.py

.PHONY: lock
lock: $(VENV)/dev.stamp ## Update the lock files
	$(BIN)/uv pip compile $(LOCK_OPTIONS) --extra dev pyproject.toml \
		--output-file requirements-dev.lock
	$(BIN)/uv pip compile $(LOCK_OPTIONS) --constraint requirements-dev.lock \
		pyproject.toml --output-file requirements.lock
	$(BIN)/uv pip compile $(LOCK_OPTIONS) --constraint requirements-dev.lock \
		--extra spark --extra athena --extra postgres --extra alerts \
		--extra salesforce pyproject.toml \
		--output-file deploy/kubernetes/image/requirements.lock
	$(BIN)/uv pip compile $(LOCK_OPTIONS) deploy/airflow/requirements.in \
		--output-file deploy/airflow/requirements.lock
	printf 'cyclonedx-bom\npip-audit\n' | $(BIN)/uv pip compile $(LOCK_OPTIONS) - \
		--output-file requirements-audit.lock
	echo uv | $(BIN)/uv pip compile $(LOCK_OPTIONS) - \
		--output-file requirements-installer.lock
	sed -n 's/^requires = \["\(.*\)"\]$$/\1/p' pyproject.toml \
		| $(BIN)/uv pip compile $(LOCK_OPTIONS) - \
			--constraint requirements-dev.lock \
			--output-file requirements-build.lock

LOCK_OPTIONS := --universal --python-version 3.11 --generate-hashes \
	--no-header --no-annotate --quiet

.PHONY: clean
clean: ## Remove the environment, databases and build outputs
	rm -rf $(VENV) $(AIRFLOW_VENV) $(AUDIT_VENV) target logs data state churn.duckdb churn.duckdb.wal \
		.pytest_cache .ruff_cache .mypy_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
