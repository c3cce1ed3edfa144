# Everything a newcomer needs: `make run`, `make test`. Needs Python 3.10 or later and make, nothing else.

PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin

# Recurrent networks of this size gain little from more threads than physical cores, and timings are
# comparable only where this is said openly. Override with `make run OMP_NUM_THREADS=8`.
OMP_NUM_THREADS ?= 2
export OMP_NUM_THREADS

# Flags for the main job and for pytest: `make run ARGS="--seed 1"`, `make test ARGS="-k graph -x"`.
ARGS ?=

.DEFAULT_GOAL := help
.PHONY: help setup run test test-slow lint format clean

help: ## Show this text
	@echo "plastic-gym: make <target>"
	@awk 'BEGIN {FS = ":.*## "} /^[a-z-]+:.*## / {printf "  %-10s %s\n", $$1, $$2}' $(firstword $(MAKEFILE_LIST))

setup: $(VENV)/.installed-dev ## Install everything, tools for development included, into .venv

run: $(VENV)/.installed-run ## The main job: three agents on graphs they have never seen, with figures and reports
	$(BIN)/python benchmarks/main_job.py $(ARGS)
	@echo "In a new shell, 'source $(BIN)/activate' first: then python and tensorboard are those of this set-up."

test: $(VENV)/.installed-dev ## The tests that take seconds, a process per core
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n auto --dist worksteal $(ARGS)

test-slow: $(VENV)/.installed-dev ## All tests, those that train for real too
	$(BIN)/python -m pytest -m "slow or not slow" $(ARGS)

lint: $(VENV)/.installed-dev ## Style (ruff) and types (mypy)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: $(VENV)/.installed-dev ## Put the code into shape
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

clean: ## Remove .venv and caches (runs/ stays)
	rm -rf $(VENV) build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# Set-up. The stamps are older than the files that they depend on as soon as those change, so the next target
# that needs an installation brings it up to date.
$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 10))' || { \
		echo "$$($(PYTHON) --version) is too old: plastic-gym needs 3.10 or later; try 'make PYTHON=python3.12'."; exit 1; }
	$(PYTHON) -m venv $(VENV)

# Two steps: torch first and by itself, in the pinned version, so that nothing else decides which build is taken.
$(VENV)/.torch: constraints.txt | $(BIN)/python
	$(BIN)/python -m pip install --quiet "pip>=23" "setuptools>=77"
	$(BIN)/python -m pip install --quiet "$$(grep '^torch==' constraints.txt)"
	@touch $@

$(VENV)/.installed-run: pyproject.toml $(VENV)/.torch
	$(BIN)/python -m pip install --quiet -c constraints.txt --editable ".[agents]"
	@touch $@

$(VENV)/.installed-dev: pyproject.toml $(VENV)/.torch
	$(BIN)/python -m pip install --quiet -c constraints.txt --editable ".[all,track]"
	@touch $@ $(VENV)/.installed-run
