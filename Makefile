# Everything a developer or CI does with millirank. `make help` lists it.
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.PHONY: help demo test test-slow check docker-files secrets serve render test-damaged bench-beauty \
        bench-compress bench-catalogue bench-posters bench-fashion bench-preprocess bench-growth \
        bench-peers bench-generator bench-shared bench-state bench-record bench-feedback test-failover \
        test-killed test-retrain test-swaps test-rollbacks simulate loadtest soak requirements sbom \
        docker-check clean

PYTHON ?= $(shell command -v python3.11 || command -v python3)
BIN := .venv/bin
INSTALLED := .venv/.installed-$(shell cat pyproject.toml constraints.txt | sha256sum | cut -c1-16)
REPOSITORY := build/movielens/repository
DATA ?=
IMAGES ?=

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
	@$(BIN)/python -m pytest -n 2 --dist loadfile

test-slow: $(INSTALLED) ## The tests that take fifteen seconds and more each
	@$(BIN)/python -m pytest -n 2 --dist loadfile -m slow

check: $(INSTALLED) ## Lint, types, import direction, rendered configs
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check --quiet .
	@$(BIN)/mypy
	@for model in model_repository/*/1/model.py; do $(BIN)/mypy --no-error-summary --disable-error-code=import-not-found $$model; done
	@$(BIN)/lint-imports --no-cache >/dev/null || $(BIN)/lint-imports --no-cache
	@$(BIN)/millirank render --check
	@$(MAKE) --no-print-directory docker-files
	@echo "check: all good"

docker-files: $(INSTALLED)
	@$(BIN)/check-jsonschema -q --builtin-schema vendor.compose-spec docker/compose*.yaml
	@$(BIN)/docker-compose -f docker/compose.yaml --profile '*' config --quiet
	@$(BIN)/python docker/kubernetes/rules.py --check
	@$(BIN)/python docker/kubernetes/validate.py
	@$(BIN)/mypy docker/kubernetes/rules.py docker/kubernetes/validate.py
	@$(BIN)/hadolint --ignore DL3002 --ignore DL3066 docker/Dockerfile # root in a stage between
	@find docker -name '*.sh' -exec $(BIN)/shellcheck -S warning {} +

secrets: ## Make what Compose and Kubernetes keep secret, into docker/secrets, where it is missing
	@mkdir -p -m 700 docker/secrets
	@for name in control_token redis_password grafana_password; do \
	  [ -s docker/secrets/$$name ] || $(PYTHON) -c 'import secrets; print(secrets.token_urlsafe(32))' \
	    > docker/secrets/$$name; chmod 444 docker/secrets/$$name; done

serve: $(INSTALLED) ## Serve the demo's repository in the foreground
	@$(BIN)/millirank serve $(REPOSITORY)

loadtest: $(INSTALLED) ## Play every scenario against the demo's repository; fail if one misses the objective
	@missed=""; for scenario in steady ramp spike shop social news; do \
	  $(BIN)/millirank loadtest $(REPOSITORY) --scenario $$scenario || missed="$$missed $$scenario"; done; \
	  [ -z "$$missed" ] || { echo "missed:$$missed"; exit 1; }

render: $(INSTALLED) ## Write model_repository/*/config.pbtxt from ensembles/
	@$(BIN)/millirank render
	@$(BIN)/python docker/kubernetes/rules.py

bench-beauty: $(INSTALLED) ## Train and evaluate on Amazon Beauty: make bench-beauty DATA=DIR
	@$(BIN)/millirank build builders/presets/beauty.toml --data "$(DATA)"

bench-compress: $(INSTALLED) ## Train a ranker of about 100 ms, compress it, print what each pass did
	@$(BIN)/millirank build builders/presets/large.toml

bench-catalogue: $(INSTALLED) ## Build and serve 1,000,000 items: memory and latency
	@MILLIRANK_CATALOGUE_ITEMS=1000000 $(BIN)/python -m pytest -q -s --timeout 1800 \
	  tests/triton/test_large_catalogue.py

test-damaged: $(INSTALLED) ## 600 damaged pictures under load, alone and among good ones
	@MILLIRANK_DAMAGED_IMAGES=600 $(BIN)/python -m pytest -q -s tests/triton/test_damaged_images.py

bench-posters: $(INSTALLED) ## Items without a history, by picture and text: make bench-posters DATA=DIR IMAGES='DIR/{item_id}.jpg'
	@$(BIN)/python -m pip install -qq --disable-pip-version-check -c constraints.txt -e '.[text]'
	@$(BIN)/millirank build builders/presets/posters.toml --data "$(DATA)" --images "$(IMAGES)"

bench-fashion: $(INSTALLED) ## Do similar photos show the same kind of product? make bench-fashion DATA=DIR (holds fashion/)
	@MILLIRANK_FASHION=all MILLIRANK_DATA="$(DATA)" $(BIN)/python -m pytest -q -s --timeout 1800 \
	  tests/triton/test_fashion.py

bench-preprocess: $(INSTALLED) ## DALI against Pillow on a folder of JPEGs: make bench-preprocess DATA=DIR
	@MILLIRANK_BENCH_PICTURES="$(DATA)" $(BIN)/python -m pytest -q -s \
	  tests/benchmarks/test_preprocess_speed.py

bench-growth: $(INSTALLED) ## How latency grows with candidates, history, catalogue, users and batch
	@MILLIRANK_BENCH_GROWTH=1 OMP_NUM_THREADS=1 $(BIN)/python -m pytest -q -s --timeout 600 \
	  tests/benchmarks/test_growth.py

bench-peers: $(INSTALLED) ## The demo's release behind FastAPI, LitServe, BentoML, MLServer, Ray Serve and Triton
	@$(BIN)/python -m loadtest.peers $(REPOSITORY)
bench-generator: $(INSTALLED) ## How many requests a second one load process can make
	@$(BIN)/millirank loadtest $(REPOSITORY) --generator

bench-shared: $(INSTALLED) ## Pictures sent along against pictures in shared memory
	@MILLIRANK_BENCH_SHARED_MEMORY=$(REPOSITORY) OMP_NUM_THREADS=1 $(BIN)/python -m pytest -q -s \
	  tests/benchmarks/test_shared_memory.py

bench-state: $(INSTALLED) ## User state in Redis against LMDB: one read, one request, eight clients
	@MILLIRANK_BENCH_STATE=$(REPOSITORY) OMP_NUM_THREADS=1 $(BIN)/python -m pytest -q -s \
	  tests/benchmarks/test_state_speed.py

test-retrain: $(INSTALLED) ## Retrain as cron does: killed, run again, served; shuffled items refused
	@MILLIRANK_RETRAIN=1 $(BIN)/python -m pytest -q -s tests/triton/test_retrain.py

test-failover: $(INSTALLED) ## Kill one of two servers behind HAProxy under load, with and without retries
	@MILLIRANK_FAILOVER=1 $(BIN)/python -m pytest -q -s tests/triton/test_failover.py

bench-record: $(INSTALLED) ## Time until an event is durable, beside the disk's own, and until an answer knows it
	@MILLIRANK_BENCH_RECORD=$(REPOSITORY) OMP_NUM_THREADS=1 $(BIN)/python -m pytest -q -s -n 0 tests/benchmarks/test_record_speed.py

bench-feedback: $(INSTALLED) ## Do three events in one category bring more of it, and how soon: 100 users, LMDB and Redis
	@MILLIRANK_BENCH_FEEDBACK=$(REPOSITORY) OMP_NUM_THREADS=1 $(BIN)/python -m pytest -q -s -n 0 tests/benchmarks/test_feedback.py

test-killed: $(INSTALLED) ## kill -9 while events are recorded, 60 times of the server's processes, and 60 with Redis
	@MILLIRANK_KILLS=60 $(BIN)/python -m pytest -q -s -n 0 --timeout 1800 tests/triton/test_killed.py

test-swaps: $(INSTALLED) ## Ten promotions and rollbacks under 200 requests/s, events among them, a shadow, a canary
	@MILLIRANK_SWAPS=$(REPOSITORY) OMP_NUM_THREADS=1 $(BIN)/python -m pytest -q -s tests/triton/test_swaps.py

test-rollbacks: $(INSTALLED) ## Bad releases under 100 requests/s: worse, slow and broken ones take themselves back
	@MILLIRANK_ROLLBACKS=1 OMP_NUM_THREADS=1 $(BIN)/python -m pytest -q -s -n 0 \
	  tests/triton/test_rollbacks.py

simulate: $(INSTALLED) ## Simulated users of MovieLens, five rounds, exploration off and on: table and plot
	@$(BIN)/millirank simulate builders/presets/simulation.toml

soak: $(INSTALLED) ## Ten minutes at half the capacity: no error, no growth of memory
	@$(BIN)/millirank loadtest $(REPOSITORY) --scenario soak \
	  --objective loadtest/objectives/soak.toml --json build/soak.json

requirements: $(INSTALLED) ## Write docker/requirements/*.txt: what images install, pinned by hash
	@pin() { $(BIN)/uv pip compile -q "$$3" -c constraints.txt --generate-hashes --no-annotate \
	  --python-platform x86_64-manylinux_2_35 --custom-compile-command 'make requirements' \
	  --python-version "$$2" -o docker/requirements/$$1.txt "$${@:4}"; }; \
	  pin server-cpu 3.11 pyproject.toml --extra serve; \
	  pin server-gpu 3.12 pyproject.toml --extra serve --excludes <(echo nvidia-pytriton); \
	  pin builder 3.11 pyproject.toml --extra build --extra serve --extra loadtest; \
	  pin loadtest 3.11 pyproject.toml --extra loadtest; \
	  pin sbom 3.11 - <<< cyclonedx-bom

sbom: $(INSTALLED) ## Write build/sbom: of each image its parts (CycloneDX), and their licences
	@docker/sbom.sh $(BIN)

docker-check: $(INSTALLED) ## Build and run the images without a Docker engine (Debian, as root)
	@apt-get update -qq; DEBIAN_FRONTEND=noninteractive apt-get install -qq -y \
	  --no-install-recommends buildah podman runc debootstrap util-linux >/dev/null
	@[ -d $(REPOSITORY) ] || $(BIN)/millirank build builders/presets/movielens.toml
	@MILLIRANK_CONTAINERS=$(REPOSITORY) $(BIN)/python -m pytest -q -s -n 0 tests/containers

clean: ## Remove the virtual environment, builds and caches
	@rm -rf .venv build .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +
