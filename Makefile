# The workshop.  Each target sets up what it needs: a machine with python3 (3.11 or newer), make and node is enough.
# The settings may be given on the command line:
#   PYTHON=python3.12  another interpreter      ARGS='-k retry'   passed on to what the target runs
#   JOBS=4             test processes           VERSIONS=         the other Pythons to test on (none: empty)
#   DEMO=weather       the other demo
#   UV=uv              a uv of your own instead of the pinned one

PYTHON   ?= python3
JOBS     ?= 2
VERSIONS ?= 3.11 3.12 3.13
UV       ?= .venv-tools/bin/uv
ARGS     ?=
DEMO     ?= daily_sales

BIN   := .venv/bin
BENCH := .venv-bench/bin
LOCK  := $(UV) pip compile --quiet --universal --python-version 3.11 --generate-hashes \
         --no-header --no-annotate --no-emit-index-url

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:

export UV PYTHON
export UV_PYTHON_DOWNLOADS := never
export NO_MKDOCS_2_WARNING := 1
# uv trusts its own list of certificate authorities unless told that this machine has one.
ifneq ($(wildcard /etc/ssl/certs/ca-certificates.crt),)
export UV_SYSTEM_CERTS := true
endif

.PHONY: help demo test test-postgres test-kubernetes check bench bench-postgres docs lock lint types floors bans addresses manual

help: ## Say what can be made
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## (.*)/\1\t\2/' | \
	  while IFS=$$'\t' read -r name what; do printf '  make %-15s %s\n' "$$name" "$$what"; done

demo: .venv/.ready ## Run a day's sales, crash and all (DEMO=weather: four years of weather)
	@$(BIN)/python examples/$(DEMO)/demo.py $(ARGS)

test: .venv/.ready ## Run the tests: the core on the other Pythons found here, then all of them on this one
	@tools/install_engines
	@$(BIN)/python -m compileall -q src
	@if [[ -z '$(ARGS)' ]]; then tools/test_other_pythons '$(JOBS)' $(VERSIONS); fi
	@$(BIN)/python -m pytest -n $(JOBS) $(ARGS)

test-postgres: .venv/.ready ## Run every scenario of engine, workflows and commands on a real PostgreSQL, whatever store it names
	@tools/install_engines
	@$(BIN)/python -m pytest -n $(JOBS) --on postgres tests/engine tests/kernel tests/patterns tests/graphs \
	  tests/equivalence tests/author tests/testing tests/cli tests/simulation/test_on_postgres.py \
	  tests/simulation/test_postgres_mutants.py $(ARGS)

test-kubernetes: .venv/.ready ## Run the tests that need a Kubernetes cluster, on a real one: built once, in minutes, as root
	@tests/kubernetes/with_cluster $(BIN)/python -m pytest -n $(JOBS) --timeout 300 tests/kubernetes $(ARGS)

check: lint types floors bans addresses manual ## Lint, formatting, types, floors, bans, addresses, documentation

lint: .venv/.ready
	@status=0; \
	$(BIN)/ruff check || status=1; \
	$(BIN)/ruff format --check || status=1; \
	exit $$status

types: .venv/.ready
	tools/check_types $(BIN)

floors: .venv/.ready
	$(BIN)/lint-imports --no-logo

bans: .venv/.ready
	$(BIN)/python tools/check_bans.py

addresses: .venv/.ready
	$(BIN)/python tools/check_addresses.py

manual: .venv/.ready
	tools/build_manual $(BIN)

bench: .venv-bench/.ready ## Measure, beside rivals, in an environment of its own
	@$(BENCH)/python benchmarks/run.py $(ARGS)

bench-postgres: .venv-bench/.ready ## Measure on a PostgreSQL: beside DBOS, how long one waits, how soon others take over
	@tools/install_engines
	@$(BENCH)/python -m benchmarks.postgres $(ARGS)
	@$(BENCH)/python -m benchmarks.takeover --kills 20 --stops 5

docs: manual ## Build the documentation into site/
	@echo "The documentation is in site/index.html"

lock: .venv-tools/.ready ## Lock the requirements anew (ARGS=--upgrade: to the newest)
	$(LOCK) $(ARGS) pyproject.toml --all-extras --group dev --output-file requirements/dev.txt
	$(LOCK) $(ARGS) pyproject.toml --constraint requirements/dev.txt --output-file requirements/runtime.txt
	$(LOCK) $(ARGS) pyproject.toml --constraint requirements/dev.txt --extra postgres --group build --group test --output-file requirements/test.txt
	$(LOCK) $(ARGS) pyproject.toml --constraint requirements/dev.txt --group build --group docs --output-file requirements/docs.txt
	$(LOCK) $(ARGS) pyproject.toml --constraint requirements/dev.txt --group build --group examples --output-file requirements/examples.txt
	$(LOCK) $(ARGS) pyproject.toml --constraint requirements/dev.txt --group build \
	  --extra container --extra kubernetes --extra postgres --extra celery --output-file requirements/deploy.txt
	$(LOCK) $(ARGS) pyproject.toml --group build --group bench --output-file requirements/bench.txt
	$(LOCK) $(ARGS) --group tools --output-file requirements/tools.txt

# -- environments: a stamp is older than what it was made from, or there is nothing to do ------------------------------

.venv-tools/.ready: requirements/tools.txt
	@if [[ '$(UV)' == .venv-tools/* ]]; then tools/install_uv .venv-tools; fi
	@mkdir -p .venv-tools && touch $@

.venv/.synced: requirements/dev.txt .venv-tools/.ready
	@tools/sync_environment .venv $<

.venv-bench/.synced: requirements/bench.txt .venv-tools/.ready
	@tools/sync_environment .venv-bench $<

.venv-3.%/.synced: requirements/test.txt .venv-tools/.ready
	@tools/sync_environment .venv-3.$* $<

%/.ready: %/.synced pyproject.toml
	@VIRTUAL_ENV=$* $(UV) pip install --quiet --no-deps --no-build-isolation --editable .
	@touch $@
.PRECIOUS: %/.synced
