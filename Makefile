# Everything runs from .venv, which is made from requirements.lock; a stamp file makes the second run instant.
#   PYTHON=/path/to/python3.12   use this interpreter      VENV=.venv-312   keep the environment elsewhere
#   JOBS=N                       test files side by side; one for each core by default, 0 for one after the other
#   ARGS="…"                     handed on to the command behind devnet, test, bench, e2e, receipts, mutants and simulate

SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
MAKEFLAGS += --no-print-directory

VENV ?= .venv
ARGS ?=
JOBS ?= logical
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed-from-lock
SOURCES := consensus p2p storage sequencer tests

VERSION_WANTED := import sys; sys.exit(not (3, 11) <= sys.version_info[:2] < (3, 13))

# An interpreter counts only if it runs: a version manager may leave commands behind that do not.
find_python = for candidate in $(or $(PYTHON),python3.12 python3.11 python3); do \
	if "$$candidate" -c "$(VERSION_WANTED)" >/dev/null 2>&1; then command -v "$$candidate"; break; fi; done

# What this machine lacks, as the names of Debian packages. libp2p needs fastecdsa, which comes as C source only.
define find_missing
python=$$($(find_python)); missing=""; \
if [ -z "$$python" ]; then missing+=" python3 python3-venv python3-dev"; else \
	name=python$$("$$python" -c 'import sys; print("%d.%d" % sys.version_info[:2])'); \
	"$$python" -c 'import ensurepip, venv' >/dev/null 2>&1 || missing+=" $$name-venv"; \
	"$$python" -c 'import pathlib, sysconfig, sys; \
		sys.exit(not pathlib.Path(sysconfig.get_path("include"), "Python.h").exists())' || missing+=" $$name-dev"; \
fi; \
command -v git >/dev/null || missing+=" git"; \
if ! command -v gcc >/dev/null; then missing+=" gcc libc6-dev libgmp-dev"; \
elif ! echo '#include <gmp.h>' | gcc -E - >/dev/null 2>&1; then missing+=" libgmp-dev"; fi
endef

.PHONY: help
help: ## print this list
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' $(firstword $(MAKEFILE_LIST))

.PHONY: install
install: $(STAMP) ## make .venv from the lock, if it is not there yet or the lock has changed

$(STAMP): requirements.lock pyproject.toml
	@$(find_missing); \
	if [ -z "$$python" ]; then \
		echo "Python 3.11 or 3.12 is needed, and none of these is one: $(or $(PYTHON),python3.12 python3.11 python3)." >&2; \
		echo "Name one with: make install PYTHON=/path/to/python3.12" >&2; \
	fi; \
	if [ -n "$$missing" ]; then \
		echo "Missing on this machine:$$missing" >&2; \
		echo "On Debian or Ubuntu: apt-get install$$missing" >&2; \
		exit 1; \
	fi; \
	if [ -z "$(PYTHON)" ] && "$(BIN)/python" -c "$(VERSION_WANTED)" >/dev/null 2>&1; then \
		echo "[1/4] using $(VENV) as it is"; \
	else \
		echo "[1/4] making $(VENV) with $$python"; \
		"$$python" -m venv --clear "$(VENV)"; \
	fi
	@echo "[2/4] installing the packages of requirements.lock (about a minute)"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements.lock
	@echo "[3/4] installing the sequencer command"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	@echo "[4/4] installing anvil, the L1 of the devnet and of the tests"
	@$(BIN)/python -m sequencer.l1dev install >/dev/null || \
		echo "Going on without it: only the devnet with --l1 none and the tests without an L1 can run." >&2
	@touch $@

.PHONY: missing-packages
missing-packages: # for scripts: the Debian packages that install would ask for
	@$(find_missing); echo "$${missing# }"

.PHONY: devnet
devnet: $(STAMP) ## run a development network in the foreground, its home in .devnet
	@$(BIN)/sequencer devnet --home .devnet $(ARGS)

.PHONY: test
test: $(STAMP) ## run the default test suite: everything not marked slow or docker
	@$(BIN)/python -m pytest --numprocesses $(JOBS) --dist loadfile --no-loadscope-reorder $(ARGS)

.PHONY: test-slow
test-slow: $(STAMP) ## run the tests marked slow
	@$(BIN)/python -m pytest -m "slow and not docker" $(ARGS)

.PHONY: e2e
e2e: $(STAMP) ## run the end-to-end tests, the slow ones too: real processes on this machine
	@$(BIN)/python -m pytest tests/e2e -m "not docker" $(ARGS)

.PHONY: e2e-docker
e2e-docker: $(STAMP) ## build the image and test docker-compose.yml; needs a Docker daemon, takes minutes
	@command -v docker >/dev/null || { echo "docker is missing. On Debian: apt-get install docker.io" >&2; exit 1; }
	@docker info >/dev/null 2>&1 || { echo "The Docker daemon does not answer; docker info says why." >&2; exit 1; }
	@docker compose version >/dev/null 2>&1 || command -v docker-compose >/dev/null || { \
		echo "Compose is missing. On Debian: apt-get install docker-compose" >&2; exit 1; }
	@$(BIN)/python -m pytest tests/e2e -m docker $(ARGS)

.PHONY: lint
lint: $(STAMP) ## check style, format, types and the direction of imports
	@echo "ruff check"; $(BIN)/ruff check --quiet $(SOURCES)
	@echo "ruff format --check"; $(BIN)/ruff format --check --quiet $(SOURCES)
	@echo "mypy"; $(BIN)/mypy --strict
	@echo "lint-imports"; $(BIN)/lint-imports --no-logo

.PHONY: format
format: $(STAMP) ## sort imports, apply safe fixes, format
	@$(BIN)/ruff check --quiet --fix-only $(SOURCES)
	@$(BIN)/ruff format $(SOURCES)

.PHONY: bench
bench: $(STAMP) ## run the benchmarks and compare with the last recorded run
	@$(BIN)/python -m tests.bench $(ARGS)

.PHONY: receipts
receipts: $(STAMP) ## judge 100,000 receipts given under kills of their authors and leaders; goes on from .receipts.json
	@$(BIN)/python -m tests.e2e.receipt_campaign $(ARGS)

.PHONY: mutants
mutants: $(STAMP) ## break the protocol's rules one at a time and check that the simulator notices
	@$(BIN)/python -m tests.mutants $(ARGS)

SEEDS ?= 1000
.PHONY: simulate
simulate: $(STAMP) ## run SEEDS=1000 random schedules of the simulator; ARGS="--first N" for others
	@$(BIN)/python -m tests.simulation campaign --seeds $(SEEDS) $(ARGS)

.PHONY: simulate-long
simulate-long: $(STAMP) ## run a million schedules; go on after an interruption from .simulation.json
	@$(BIN)/python -m tests.simulation campaign --seeds 1000000 --record .simulation.json $(ARGS)

.PHONY: lock
lock: $(STAMP) ## resolve the dependencies again and rewrite requirements.lock (ARGS=--upgrade for newer versions)
	@$(BIN)/pip-compile --quiet --extra bench --extra dev --generate-hashes --allow-unsafe --strip-extras --no-header \
		--no-emit-index-url --no-emit-trusted-host --no-emit-find-links \
		--output-file requirements.lock $(ARGS) pyproject.toml

.PHONY: clean
clean: ## remove .venv, caches and build output; .devnet stays, it holds keys
	rm -rf $(VENV) build dist *.egg-info .hypothesis .mypy_cache .pytest_cache .ruff_cache .import_linter_cache
	find $(SOURCES) -name __pycache__ -type d -prune -exec rm -rf {} +
