# Every target does its own set-up: a stamp file remembers what is installed, so the second time costs nothing.
# Arguments are handed on: make demo ARGS="--json --bus kafka"

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMPS := $(VENV)/.stamps
ARGS ?=

.DEFAULT_GOAL := help

.PHONY: help
help:  ## List every target
	@grep -hE '^[a-z0-9-]+:.*##' $(MAKEFILE_LIST) | sort | awk -F ':.*## ' '{printf "  \033[36m%-12s\033[0m %s\n", $$1, $$2}'

$(BIN)/uv:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "Python 3.11 or newer is needed; say which with PYTHON=…" >&2; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check uv

# What runs the platform and the demo. A development environment holds all of it, so it is never taken away.
$(STAMPS)/demo: requirements-demo.lock | $(BIN)/uv
	@mkdir -p $(STAMPS)
	@if [ -f $(STAMPS)/dev ]; then $(MAKE) --no-print-directory $(STAMPS)/dev; \
	else VIRTUAL_ENV=$(VENV) $(BIN)/uv pip sync --quiet --compile-bytecode --require-hashes requirements-demo.lock; fi
	@touch $@

$(STAMPS)/dev: requirements-dev.lock | $(BIN)/uv
	@mkdir -p $(STAMPS)
	VIRTUAL_ENV=$(VENV) $(BIN)/uv pip sync --quiet --compile-bytecode --require-hashes requirements-dev.lock
	@touch $@

# Kafka's jars and JVM are for development, so they come only when they are asked for.
PLATFORM := $(STAMPS)/$(if $(findstring kafka,$(ARGS)),dev,demo)

.PHONY: install
install: $(STAMPS)/dev  ## Install everything that development needs

.PHONY: demo
demo: $(PLATFORM)  ## Watch 69,659 real orders become members, points, tiers, messages and a report
	@$(BIN)/python -m cli demo $(ARGS)

.PHONY: run
run: $(PLATFORM)  ## Start the platform and keep it serving until Ctrl-C
	@$(BIN)/python -m cli up $(ARGS)

.PHONY: test
test: install check  ## Run every test, on real PostgreSQL and real Kafka
	$(BIN)/python -m pytest -n 2 --dist loadfile $(ARGS)

.PHONY: test-fast
test-fast: install  ## Run the inner loop: rules, properties and contracts, without any server
	HYPOTHESIS_PROFILE=inner-loop $(BIN)/python -m pytest -q -n 2 -m "not server and not slow and not kill" $(ARGS)

.PHONY: check
check: install  ## Check format, lint, types, contracts and generated files
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python -m shared.events.generate --check
	$(BIN)/python -m shared.observability --check

.PHONY: format
format: install  ## Format the code and mend what the linter can
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

.PHONY: generate
generate: install  ## Write the generated documents anew
	$(BIN)/python -m shared.events.generate
	$(BIN)/python -m shared.observability

.PHONY: bench
bench: install  ## Measure, each figure beside its floor
	@$(BIN)/python -m cli bench $(ARGS)

# --universal resolves for every platform; no index address is written, so that any mirror serves.
COMPILE := $(BIN)/uv pip compile --quiet --universal --generate-hashes --no-emit-index-url --python-version 3.11 pyproject.toml

.PHONY: lock
lock: | $(BIN)/uv  ## Pin the newest allowed versions with their hashes
	$(COMPILE) --upgrade -o requirements.lock
	$(COMPILE) --upgrade --group demo -o requirements-demo.lock
	$(COMPILE) --upgrade --group dev -o requirements-dev.lock

.PHONY: clean
clean:  ## Remove what can be made again (not your data in .regulars)
	rm -rf $(VENV) build dist *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis
