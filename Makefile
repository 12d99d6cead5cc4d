# Development commands. `make help` lists them; targets that need the environment create it first.

SHELL := bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
# Tests start hundreds of processes. Without cached bytecode each start takes three seconds instead of one.
unexport PYTHONDONTWRITEBYTECODE

PYTHON ?= python3
# Empty: the package registry's torch, for machines with and without a GPU (4.8 GB). `cpu`, `cu130` …: uv's backends.
TORCH ?=

VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.setup$(if $(TORCH),-$(TORCH))
UV = $(BIN)/uv
# KERAS=0 excludes Keras from `make bench`.
KERAS ?= 1
KERAS_VENV := .venv-keras
KERAS_STAMP := $(KERAS_VENV)/.setup
LOCKS := requirements/uv.txt $(if $(TORCH),requirements/no-torch.txt requirements/torch.in,requirements/all.txt)

# Fault tests in parallel; they mostly wait.
CHAOS_AT_ONCE ?= 3

.PHONY: help setup demo up test test-all test-slow chaos engine-soak fuzz surroundings bench gpu-check bench-engine screenshots vendor pretrained docs lint format secrets api-size compose-test lock clean

help: ## List the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-16s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

setup: $(STAMP) ## Create the environment in .venv (TORCH=cpu for a build without CUDA)

$(STAMP): $(LOCKS) pyproject.toml
	@command -v $(PYTHON) >/dev/null || { echo "mimeo: $(PYTHON) was not found; install Python 3.11 or newer, or name one: make PYTHON=python3.12" >&2; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "mimeo: needs Python 3.11 or newer, $(PYTHON) is $$($(PYTHON) -V 2>&1); name another: make PYTHON=python3.12" >&2; exit 1; }
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV) || { echo "mimeo: $(PYTHON) -m venv failed; on Debian and Ubuntu: apt-get install python3-venv" >&2; exit 1; }
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/uv.txt
ifeq ($(TORCH),)
	$(UV) pip install --quiet --python $(BIN)/python --require-hashes -r requirements/all.txt
else
	$(UV) pip install --quiet --python $(BIN)/python --no-deps --require-hashes -r requirements/no-torch.txt
	$(UV) pip install --quiet --python $(BIN)/python --torch-backend $(TORCH) -r requirements/torch.in -c requirements/no-torch.txt
endif
	$(UV) pip install --quiet --python $(BIN)/python --no-deps --no-build-isolation -e .
	@rm -f $(VENV)/.setup*
	@touch $@

demo: setup ## Run one job of each model type, with samples in ./demo
	$(BIN)/python -m client.demo

up: setup ## Run the stack in the foreground until Ctrl-C
	$(BIN)/mimeo up

# Tests without the marker `slow`: units on SQLite and PostgreSQL, and one pass of the main job on a real stack.
test: lint ## Run lint, types, the quick tests and one pass of the main job (minutes)
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 --dist worksteal -m "not slow"

test-all: test test-slow ## Run `test`, then every model type, failpoints and faults on real stacks

# First whole stacks, two in parallel; the tests of a file share one. Then failpoints and faults, which mostly wait.
test-slow: setup ## The tests that `test` leaves out: every model type, crash points and faults on real stacks
	$(BIN)/python -m pytest -n 2 --dist loadfile -m slow tests/acceptance
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n $(CHAOS_AT_ONCE) --dist load --maxschedchunk 1 -m slow --ignore=tests/acceptance

# This takes hours. `make test-all` includes one run of each fault, with short outages.
chaos: setup ## Run every fault test MIMEO_CHAOS_RUNS (20) times, with outages of realistic length
	MIMEO_CHAOS_RUNS=$${MIMEO_CHAOS_RUNS:-20} MIMEO_CHAOS_LONG=$${MIMEO_CHAOS_LONG:-1} OMP_NUM_THREADS=1 \
		$(BIN)/python -m pytest -v -n $(CHAOS_AT_ONCE) --dist load --maxschedchunk 1 tests/chaos

engine-soak: setup ## Compare the job engine with its model for longer (SEED=N to replay)
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 0 -s --timeout=0 tests/engine/test_job_machine.py --hypothesis-profile=engine-soak$(if $(SEED), --hypothesis-seed=$(SEED))

fuzz: setup ## Send 10,000 mutated requests, 1,000 mutated uploads and bad messages to real processes (SEED=N)
	MIMEO_FUZZ_LONG=1 MIMEO_FUZZ_SEED=$(or $(SEED),1) OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 0 -s tests/fuzz \
		tests/chaos/test_messages.py tests/client/test_terminal.py tests/api/test_openapi_contract.py

surroundings: setup ## Show what users see on a full disk, with a full Redis, in an unusual home, on a Latin-1 terminal
	$(BIN)/python -m tests.acceptance.surroundings $(SHOW)

bench: setup ## Time steps and samples beside plain PyTorch and Keras (6 minutes; KERAS=0 without Keras)
ifeq ($(KERAS),1)
	@$(MAKE) --no-print-directory $(KERAS_STAMP) || { rm -rf $(KERAS_VENV); echo "mimeo: Keras could not be installed; its rows will report that" >&2; }
endif
	$(BIN)/python -m benchmarks.speed $(if $(filter 1,$(KERAS)),--keras $(KERAS_VENV)/bin/python)

$(KERAS_STAMP): requirements/bench-keras.txt
	@rm -rf $(KERAS_VENV)
	@$(UV) venv --quiet --python $(BIN)/python $(KERAS_VENV)
	$(UV) pip install --quiet --python $(KERAS_VENV)/bin/python --require-hashes -r requirements/bench-keras.txt
	@touch $@

gpu-check: setup ## Compare a GPU's results with the processor's, and time it
	$(BIN)/python -m benchmarks.gpu_check

bench-engine: setup ## Time the job engine with up to a million jobs on both databases (5 minutes)
	$(BIN)/python -m benchmarks.engine

screenshots: setup ## Train a small VAE and write the studio's pictures into docs/images (5 minutes; needs Chromium)
	$(BIN)/python -m docs_site.screenshots

vendor: setup ## Fetch the studio's JavaScript libraries again with npm, and record their checksums
	$(BIN)/python -m api.web.vendoring

pretrained: setup ## Train the ready-made models again (minutes; TYPES="lstm vae acgan gan")
	$(BIN)/python -m worker.ready_models.training $(TYPES)

docs: setup ## Build the documentation into site/ (a broken link fails)
	$(BIN)/python -m mkdocs build --strict

lint: setup ## Run ruff, mypy and the import rules without changes
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-cache

format: setup ## Format the code
	$(BIN)/ruff check --fix-only --quiet .
	$(BIN)/ruff format .

secrets: ## Write random passwords for docker-compose.yml into ./secrets
	@sh docker/make-secrets.sh

api-size: setup ## Install the API's libraries into a temporary folder and print their size as in its image
	folder=$$(mktemp -d) && trap 'rm -rf "$$folder"' EXIT \
		&& UV_LINK_MODE=copy $(UV) pip install --quiet --python $(BIN)/python --target "$$folder" --no-deps --require-hashes -r requirements/api.txt \
		&& $(BIN)/python docker/slim.py "$$folder"

compose-test: setup ## Build the images and run docker-compose.yml on a real engine
	$(BIN)/python -m tests.compose.run

# --no-config: the lock files must not depend on this machine's configuration of uv.
COMPILE = UV_CUSTOM_COMPILE_COMMAND="make lock" $(UV) --no-config pip compile --quiet --universal --generate-hashes --python-version 3.11 $(LOCKFLAGS)
RUNTIME := requirements/shared.in requirements/api.in requirements/torch.in requirements/worker.in requirements/client.in requirements/stack.in

lock: setup ## Pin requirements/*.in (LOCKFLAGS=--upgrade for the newest versions)
	$(COMPILE) requirements/uv.in -o requirements/uv.txt
	$(COMPILE) $(RUNTIME) requirements/otel.in requirements/dev.in -o requirements/all.txt
	$(COMPILE) requirements/bench-keras.in -o requirements/bench-keras.txt
	$(COMPILE) requirements/shared.in requirements/api.in -c requirements/all.txt -o requirements/api.txt
	$(COMPILE) requirements/shared.in requirements/torch.in requirements/worker.in -c requirements/all.txt -o requirements/worker.txt
	without=$$(sed -nE '/^nvidia-ml-py==/d; s/^((nvidia-|cuda-)[a-z0-9-]*|triton|torch|torchvision)(\[[^]]*\])?==.*/--no-emit-package \1/p' requirements/all.txt | sort -u); \
	$(COMPILE) $(RUNTIME) requirements/otel.in requirements/dev.in -c requirements/all.txt $$without -o requirements/no-torch.txt; \
	$(COMPILE) requirements/shared.in requirements/torch.in requirements/worker.in -c requirements/all.txt $$without -o requirements/worker-no-torch.txt
	! grep -lE '^--|https?://' requirements/*.txt

clean: ## Remove files of tests and builds, except environments and .mimeo
	rm -rf build dist site ./*.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis .coverage htmlcov demo
	find . -name __pycache__ -not -path './$(VENV)/*' -not -path './$(KERAS_VENV)/*' -prune -exec rm -rf {} +
