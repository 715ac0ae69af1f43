# What a person types. CI calls the same targets.
#
#   make up      start Assay on http://127.0.0.1:8000 (sets everything up first)
#   make test    all Python and page tests
#   make demo    the main job in the terminal: launch, follow, seal, verify
#   make check   format, lint, types of both languages, drift of generated files, workflows and images
#   make e2e     the page in a real browser against the real server
#   make bench   benchmarks

SHELL := /bin/bash
.DEFAULT_GOAL := help
.PHONY: help setup up dev demo test test-postgres guardrails check images format e2e bench types clean

PYTHON ?= python3
BIN := .venv/bin
TEST_PROCESSES ?= 2
NPM := npm --no-fund --no-audit --loglevel=error
PAGE_SOURCES := $(shell find frontend/src frontend/public -type f 2>/dev/null) frontend/index.html frontend/vite.config.ts

INDEX_TESTS := $(addprefix tests/backend/test_,storing.py following.py streaming.py measuring.py resuming.py starting.py rebuilding.py)

GUARDRAIL_TESTS := tests/training/test_guardrails.py tests/test_guardrails_page.py tests/test_images.py tests/test_architecture.py

help:
	@sed -n '3,8s/^# *//p' Makefile

setup: .venv/.ready frontend/dist/.ready

.venv/.ready: requirements.lock pyproject.toml
	@command -v $(PYTHON) >/dev/null || { echo "assay: Python 3.11 or newer is needed, and there is no $(PYTHON)." >&2; exit 2; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "assay: Python 3.11 or newer is needed; $(PYTHON) is $$($(PYTHON) -V). Name another one: make setup PYTHON=python3.12" >&2; exit 2; }
	@echo "assay: making the Python environment in .venv (once, about a minute)"
	@[ -x $(BIN)/python ] || $(PYTHON) -m venv .venv || { echo "assay: $(PYTHON) cannot make a virtual environment; on Debian: apt-get install python3-venv" >&2; exit 2; }
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check "$$(grep -o '^uv==[^ ]*' requirements.lock)"
	@$(BIN)/uv pip install --quiet --require-hashes -r requirements.lock --python $(BIN)/python
	@$(BIN)/uv pip install --quiet --no-deps --no-build-isolation -e . --python $(BIN)/python
	@touch $@

node_modules/.ready: package-lock.json package.json frontend/package.json
	@command -v node >/dev/null && command -v npm >/dev/null || { echo "assay: Node.js 20 or newer with npm is needed to build the page, and there is none on the PATH." >&2; exit 2; }
	@node -e 'process.exit(+process.versions.node.split(".")[0] < 20 ? 1 : 0)' || { echo "assay: Node.js 20 or newer is needed; this is $$(node -v)." >&2; exit 2; }
	@echo "assay: installing the page's packages (once, about half a minute)"
	@$(NPM) ci
	@touch $@

frontend/dist/.ready: node_modules/.ready $(PAGE_SOURCES)
	@echo "assay: building the page"
	@$(NPM) run --silent build >/tmp/assay-build.$$$$ 2>&1 || { cat /tmp/assay-build.$$$$ >&2; rm -f /tmp/assay-build.$$$$; exit 1; }; rm -f /tmp/assay-build.$$$$
	@touch $@

up: setup
	@exec $(BIN)/assay up

dev: setup
	@echo "assay: the server on port 8000, the page with hot reload on port 5173"
	@trap 'kill 0' EXIT; ASSAY_DEMO=0 $(BIN)/assay up & $(NPM) run --silent dev -w frontend

demo: setup
	@$(BIN)/assay demo

# One file's tests stay in one process: what they share is made once.
test: setup
	$(BIN)/pytest -n $(TEST_PROCESSES) --dist loadfile
	$(NPM) test

# What Assay never does: docs/guardrails.md.
guardrails: setup
	$(BIN)/pytest $(GUARDRAIL_TESTS)

# What the index does, with a real PostgreSQL server in the file's place.
test-postgres: setup
	@if [ -z "$$(command -v initdb; ls -d /usr/lib/postgresql/*/bin/initdb 2>/dev/null)" ]; then \
	  [ "$$CI" = true ] && { echo "assay: no PostgreSQL for its tests" >&2; exit 1; }; \
	  echo "assay: tests with PostgreSQL left out: there is none; apt-get install postgresql"; \
	else ASSAY_TEST_POSTGRES=1 $(BIN)/pytest $(INDEX_TESTS); fi

check: setup
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(NPM) run --silent lint
	$(NPM) run --silent typecheck
	@$(MAKE) --no-print-directory images types
	@git diff --exit-code --stat -- frontend/openapi.json frontend/src/api/gen docs/schemas || { echo "assay: generated files have drifted; commit what make types wrote" >&2; exit 1; }

# Images and workflows, as far as can be said without Docker and without GitHub.
images: setup
	$(BIN)/hadolint Dockerfile
	$(BIN)/check-jsonschema --quiet --builtin-schema vendor.compose-spec docker-compose.yml
	$(BIN)/check-jsonschema --quiet --builtin-schema vendor.github-workflows .github/workflows/*.yml

types: setup
	@$(BIN)/python -m backend.openapi > frontend/openapi.json.new && mv frontend/openapi.json.new frontend/openapi.json
	@$(NPM) run --silent gen >/dev/null
	@$(BIN)/python -m evidence.schemas docs/schemas

format: setup
	$(BIN)/ruff check --fix --quiet .
	$(BIN)/ruff format .
	$(NPM) run --silent format

e2e: setup
	@if [ -z "$$CHROMIUM_PATH" ] && ! command -v chromium >/dev/null; then \
	  [ "$$CI" = true ] && { echo "assay: no Chromium for the browser tests" >&2; exit 1; }; \
	  echo "assay: browser tests left out: there is no chromium on the PATH (or name one in CHROMIUM_PATH)"; \
	else $(NPM) run --silent e2e; fi

bench: setup
	$(BIN)/python -m benchmarks

clean:
	rm -rf .venv node_modules frontend/dist frontend/coverage
