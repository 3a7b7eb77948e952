# The two commands of the README, on a machine that has Python 3.11 and make.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
SOURCES := colorize_core jobs cluster tests

.DEFAULT_GOAL := help
.PHONY: help setup demo browser azurite test test-quick test-faults test-long papers-smoke check format reference constraints lock clean

help:  ## list the targets
	@grep -E '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 13

# The stamp is newer than what decides the installation, or the installation runs again.
$(VENV)/.installed: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[dev]'
	@touch $@

setup: $(VENV)/.installed  ## install into .venv

demo: setup  ## prepare, train, archive and evaluate on sample photographs, into ./demo
	rm -rf demo
	$(BIN)/colorize demo output=demo

# Only the browser tests of reports need it; without it they are skipped, and say so.
BROWSERS := chromium chromium-browser google-chrome google-chrome-stable
AS_ROOT := $(shell [ "$$(id -u)" = 0 ] || echo sudo -n)
browser:  ## Chromium for the browser tests, where it is absent and apt-get can install it
	@for name in $(BROWSERS); do command -v $$name >/dev/null 2>&1 && exit 0; done; \
	  [ -n "$$COLORIZE_TEST_BROWSER" ] && exit 0; \
	  echo "installing Chromium for the browser tests of reports"; \
	  { $(AS_ROOT) apt-get update -qq && $(AS_ROOT) env DEBIAN_FRONTEND=noninteractive apt-get install -qq -y \
	    --no-install-recommends -o DPkg::Lock::Timeout=120 chromium fonts-dejavu-core; } >/dev/null 2>&1 || \
	  echo "*** CHROMIUM CANNOT BE INSTALLED HERE: THE BROWSER TESTS OF REPORTS WILL BE SKIPPED ***"

# Only the tests of az:// locations need it; without it they are skipped, and say so.
azurite: setup  ## Azurite, a server of Azure Blob Storage for tests, where npm can install it
	@[ -e $(VENV)/azurite/node_modules/.bin/azurite-blob ] || command -v azurite-blob >/dev/null 2>&1 || \
	  npm install --prefix $(VENV)/azurite --no-audit --no-fund --loglevel=error azurite@3 >/dev/null 2>&1 || \
	  echo "*** AZURITE CANNOT BE INSTALLED HERE: THE TESTS OF AZURE WILL BE SKIPPED ***"

# Two processes: one for the tests that share a Ray session, one for all others (tests/conftest.py).
PARALLEL := -n 2

test: setup browser azurite  ## all tests that CI runs: about seven minutes on two idle cores
	$(BIN)/python -m pytest $(PARALLEL)

test-quick: setup browser azurite  ## tests for the inner loop, without Ray: a minute and a half on two cores
	$(BIN)/python -m pytest $(PARALLEL) -m 'not ray and not slow and not long and not papers'

test-faults: setup  ## failing storage, killed processes, memory, hostile input: about twenty minutes
	$(BIN)/python -m pytest -m '' --durations=10 tests/faults

test-long: setup  ## what is too long for every change, these faults among it: about half an hour
	$(BIN)/python -m pytest -m long --durations=10

papers-smoke: setup  ## every recipe of configs/papers at toy scale
	$(BIN)/python -m pytest -m papers tests/jobs/test_recipe.py

check: setup  ## lint, format check, types
	$(BIN)/ruff check $(SOURCES)
	$(BIN)/ruff format --check $(SOURCES)
	$(BIN)/mypy

format: setup  ## format and fix what can be fixed
	$(BIN)/ruff format $(SOURCES)
	$(BIN)/ruff check --fix $(SOURCES)

reference:  ## write docs/reference/configuration.md from the configuration models
	$(BIN)/python -m jobs.command.reference

constraints:  ## renew constraints.txt with the newest versions that pyproject.toml allows
	rm -rf $(VENV)
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --editable '.[dev]'
	(echo "# The exact versions the tests pass with, on Python 3.11. Made by: make constraints"; \
	  $(BIN)/python -m pip freeze --exclude-editable) > constraints.txt
	@touch $(VENV)/.installed

LOCK := cluster/deploy/requirements.txt
IMAGE_EXTRAS := azure credentials gcs openvino
lock: setup  ## renew the packages of the image, with hashes, from constraints.txt
	$(BIN)/python -m pip install --quiet uv
	(echo "# The packages of the image with their hashes: the versions of constraints.txt. Made by: make lock"; \
	  $(BIN)/uv pip compile pyproject.toml $(addprefix --extra ,$(IMAGE_EXTRAS)) --quiet \
	  --constraint constraints.txt --generate-hashes \
	  --no-header --no-annotate --no-emit-index-url --python-version 3.11 --python-platform x86_64-manylinux_2_28) \
	  > $(LOCK).new
	mv $(LOCK).new $(LOCK)

clean:  ## remove what the targets made
	rm -rf demo $(VENV) .pytest_cache .ruff_cache .mypy_cache *.egg-info
