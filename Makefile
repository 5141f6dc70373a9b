# make run: data, pipeline, blessed and pushed model.  make test: all checks.  Both set up .venv first, if needed.
CONFIG ?= examples/flights/pipeline.yaml
BIN := .venv/bin
STAMP := .venv/.complete

# The Python to set up with: the one named on the command line or in the environment, or the one that .venv was made with.
ifeq ($(origin PYTHON),undefined)
PYTHON := $(shell test -x $(BIN)/python && echo $(BIN)/python || echo python3)
else
version = $(shell $(1) -c 'import sys; print(sys.version)' 2>/dev/null)
ifneq ($(call version,$(PYTHON)),$(call version,$(BIN)/python))
.PHONY: $(STAMP)
endif
endif

.DEFAULT_GOAL := help
.PHONY: help setup run test test-container unit integration lint format lock clean

help: ## list the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-14s %s\n", $$1, $$2}'

setup: $(STAMP) ## set up .venv from requirements.lock

$(STAMP): requirements.lock pyproject.toml setup.py $(wildcard bootstrap/*.py bootstrap/*.cc)
	@$(PYTHON) bootstrap/setup_env.py

run: $(STAMP) ## prepare the flights and run the whole pipeline
	@$(BIN)/conveyor data flights --if-missing
	@$(BIN)/conveyor run $(CONFIG)

test: lint unit integration ## all checks

lint: $(STAMP) ## ruff, mypy and the import contracts
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports

unit: $(STAMP) ## the fast tests, on all cores
	@$(BIN)/pytest -n auto --dist loadfile -m "not integration" tests/unit components

integration: $(STAMP) ## TFX itself, compilers, databases and servers: whole pipelines on a small sample
	@$(BIN)/pytest -n auto --dist loadfile -m integration tests/unit components
	@$(BIN)/pytest -n 3 --dist loadfile --no-loadscope-reorder tests/integration

test-container: $(STAMP) ## build the image and run a pipeline's pods in containers (needs a Docker engine)
	@$(BIN)/pytest tests/container

format: $(STAMP) ## format the code
	@$(BIN)/ruff check --fix .
	@$(BIN)/ruff format .

lock: ## resolve requirements.lock and those of the image again (needs uv on the path)
	@uv pip compile --universal --generate-hashes --no-emit-index-url --no-python-downloads --python-version 3.10 \
	  --extra dev pyproject.toml -o requirements.lock --custom-compile-command 'make lock'
	@uv pip compile --universal --generate-hashes --no-emit-index-url --no-python-downloads --python-version 3.10 \
	  --constraints requirements.lock --excludes requirements-image.excludes \
	  pyproject.toml -o requirements-image.lock --custom-compile-command 'make lock'
	@$(BIN)/python bootstrap/gpu_packages.py | \
	  uv pip compile --universal --generate-hashes --no-emit-index-url --no-python-downloads --python-version 3.10 \
	  - -o requirements-gpu.lock --custom-compile-command 'make lock'

clean: ## remove the files of all runs (.conveyor); keeps .venv
	@rm -rf .conveyor
