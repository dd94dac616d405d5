# Two commands do everything: `make demo` and `make test`. Each sets up what it needs.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
# Of the tests: one more than there are cores, since some mostly wait for a daemon. Two more were no quicker.
CORES := $(shell getconf _NPROCESSORS_ONLN 2>/dev/null || echo 1)
WORKERS ?= $(shell expr $(CORES) + 1)

.PHONY: help setup demo check test test-long dev docs reference lint format bench wheel lock clean

help: ## Show what can be made
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 11

setup: $(READY) ## Install everything into .venv, pinned

$(READY): pyproject.toml requirements.lock requirements-native.lock $(wildcard ingest/native/*.zig)
	@echo "Setting up $(VENV) …"
	@if command -v uv >/dev/null 2>&1; then \
	  set -e; uv venv --quiet --allow-existing --python $(PYTHON) $(VENV); \
	  uv pip install --quiet --compile-bytecode --python $(BIN)/python -r requirements.lock; \
	  uv pip install --quiet --python $(BIN)/python --no-deps -e .; \
	else \
	  set -e; $(PYTHON) -m venv $(VENV); \
	  $(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements.lock; \
	  $(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps -e .; \
	fi
	@if command -v uv >/dev/null 2>&1; then uv pip install --quiet --python $(BIN)/python -r requirements-native.lock; \
	else $(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements-native.lock; fi 2>/dev/null \
	  || true # no wheel for this system, or no network: the next line says what follows
	@$(BIN)/python -m ingest.native.build || true
	@$(BIN)/python -m orchestration.marts.project
	@touch $(READY)

demo: setup ## Run everything on made-up traffic and embedded services, and show the result
	@$(BIN)/clicklake demo

# Without SQL lint, without what slow files of unit tests hold, and without integration, end to end, faults, field cases.
check: setup ## Check format, style, types and the quick unit tests; no SQL, S3, dbt runs or end to end: `make test`
	@$(BIN)/ruff format --check .
	@$(BIN)/ruff check .
	@$(BIN)/mypy
	@$(BIN)/python -m pytest -m "not slow" -n $(CORES) --dist worksteal tests/unit

test: setup ## Run all tests
	@$(BIN)/python -m pytest -n $(WORKERS) --maxprocesses 4 --dist loadfile --no-loadscope-reorder

# LONG=part runs a random fiftieth; SEED=… the same again.
test-long: setup ## Run the long series of tests, which `make test` leaves out
	@$(BIN)/python -m pytest --long $(or $(LONG),all) $(if $(SEED),--long-seed $(SEED)) -n $(WORKERS) --maxprocesses 4 \
	  || [ $$? -eq 5 ] # none was chosen

dev: setup ## Open the Dagster UI on embedded services with a week of made-up traffic
	@$(BIN)/clicklake services --days 7 -- $(BIN)/clicklake dev

docs: setup ## Write a page about every model, column and test: .clicklake/docs/static_index.html
	@mkdir -p .clicklake/docs/lake
	@cd dbt_project && CLICKLAKE_LAKE=../.clicklake/docs/lake DBT_LOG_PATH=../.clicklake/docs \
	  $(abspath $(BIN))/dbt --quiet docs generate --static --target-path ../.clicklake/docs
	@echo "Open .clicklake/docs/static_index.html in a browser"

reference: setup ## Write docs/reference anew, from the code
	@$(BIN)/python -m tools.reference

lint: setup ## Check format, style, types and SQL
	@$(BIN)/ruff format --check .
	@$(BIN)/ruff check .
	@$(BIN)/mypy
	@$(BIN)/sqlfluff lint --disable-progress-bar --processes 0 dbt_project

format: setup ## Format Python and SQL
	@$(BIN)/ruff format .
	@$(BIN)/ruff check --fix .
	@$(BIN)/sqlfluff fix --disable-progress-bar dbt_project

bench: setup ## Measure speed and memory against the references
	@if command -v uv >/dev/null 2>&1; then uv pip install --quiet --python $(BIN)/python -r requirements-bench.lock; \
	else $(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements-bench.lock; fi
	@$(BIN)/python -m benchmarks

wheel: setup ## Build the wheel of this platform, which carries the compiled native core, into dist/
	@WHEEL_PLATFORM=$$($(BIN)/python -m ingest.native.build platform) $(BIN)/python -m hatchling build -t wheel

lock: ## Write the lock files anew
	uv pip compile --quiet --universal --python-version 3.11 --extra dev --extra demo --no-header --no-emit-index-url --no-annotate --output-file requirements.lock pyproject.toml
	uv pip compile --quiet --universal --python-version 3.11 --extra dev --extra demo --extra bench --no-header --no-emit-index-url --no-annotate --constraint requirements.lock --output-file requirements-bench.lock pyproject.toml
	uv pip compile --quiet --universal --python-version 3.11 --extra deploy --no-header --no-emit-index-url --no-annotate --constraint requirements.lock --output-file requirements-deploy.lock pyproject.toml
	sed -n 's/^native = \["\(.*\)"\].*/\1/p' pyproject.toml | uv pip compile --quiet --universal --python-version 3.11 --no-header --no-emit-index-url --no-annotate --output-file requirements-native.lock -

clean: ## Remove what was set up and what was made
	rm -rf $(VENV) .clicklake ingest/native/compiled dbt_project/target dbt_project/logs
