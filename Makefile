# Everything a developer or CI does with millirank. `make help` lists it.
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.PHONY: help demo test check serve render bench-beauty bench-compress bench-catalogue clean

PYTHON ?= $(shell command -v python3.11 || command -v python3)
BIN := .venv/bin
INSTALLED := .venv/.installed-$(shell cat pyproject.toml constraints.txt | sha256sum | cut -c1-16)
REPOSITORY := build/movielens/repository
DATA ?=

help: ## List the targets
	@grep -E '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 16

$(INSTALLED):
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info[:2] != (3, 11))' \
	  || { echo "millirank needs Python 3.11; $(PYTHON) is another. Set PYTHON=..."; exit 1; }
	@[ -x $(BIN)/python ] || $(PYTHON) -m venv .venv \
	  || { echo "cannot make a virtual environment; on Debian: apt-get install python3.11-venv"; exit 1; }
	@echo "installing the pinned dependencies into .venv (about two minutes, once) ..."
	@$(BIN)/python -m pip install -qq --disable-pip-version-check \
	  -c constraints.txt -e '.[build,serve,loadtest,tensorrt,dev]'
	@rm -f .venv/.installed-*; touch $@

demo: $(INSTALLED) ## Build a recommender from MovieLens, serve it, ask it, load-test it
	@$(BIN)/millirank build builders/presets/movielens.toml
	@$(BIN)/millirank recommend --repository $(REPOSITORY) --user 42 -k 10
	@$(BIN)/millirank loadtest $(REPOSITORY) --seconds 15

test: $(INSTALLED) ## Run the test suite (boots a real Triton)
	@$(BIN)/python -m pytest

check: $(INSTALLED) ## Lint, types, import direction, rendered configs
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check --quiet .
	@$(BIN)/mypy
	@for model in model_repository/*/1/model.py; do $(BIN)/mypy --no-error-summary --disable-error-code=import-not-found $$model; done
	@$(BIN)/lint-imports --no-cache >/dev/null || $(BIN)/lint-imports --no-cache
	@$(BIN)/millirank render --check
	@echo "check: all good"

serve: $(INSTALLED) ## Serve the demo's repository in the foreground
	@$(BIN)/millirank serve $(REPOSITORY)

render: $(INSTALLED) ## Write model_repository/*/config.pbtxt from ensembles/
	@$(BIN)/millirank render

bench-beauty: $(INSTALLED) ## Train and evaluate on Amazon Beauty: make bench-beauty DATA=DIR
	@$(BIN)/millirank build builders/presets/beauty.toml --data "$(DATA)"

bench-compress: $(INSTALLED) ## Train a ranker of about 100 ms, compress it, print what each pass did
	@$(BIN)/millirank build builders/presets/large.toml

bench-catalogue: $(INSTALLED) ## Build and serve 1,000,000 items: memory and latency
	@MILLIRANK_CATALOGUE_ITEMS=1000000 $(BIN)/python -m pytest -q -s --timeout 1800 \
	  tests/triton/test_large_catalogue.py

clean: ## Remove the virtual environment, builds and caches
	@rm -rf .venv build .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +
