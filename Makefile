# Everything is installed into .venv from hash-locked files. Needs Python >= 3.11 with its venv module, nothing else.
PYTHON ?= python3
VENV   ?= .venv
BIN    := $(VENV)/bin
TESTS  ?=
# Most tests wait for servers and pages, so two at a time take little more than half the time.
PYTEST := -m pytest --numprocesses=auto --maxprocesses=4 --dist=loadfile
WEB    := $(shell find web -path web/node_modules -prune -o -path web/dist -prune -o -type f -print)

.PHONY: demo test test-wheel bench torture check lint types build lock clean help

help:  ## show this list
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*##/\t/' | expand -t 12

demo: $(VENV)/.run  ## a shop under traffic, monitored: shows the page's address
	@$(BIN)/monitord demo

test: $(VENV)/.dev  ## every test (or TESTS=...), on real servers
	@$(BIN)/python $(PYTEST) $(TESTS)

# -P keeps the checkout off sys.path, so that what is imported is what the wheel carries.
test-wheel: build requirements/dev.lock  ## every test (or TESTS=...), on the built wheel in an environment of its own
	@rm -rf $(VENV)-wheel && $(PYTHON) -m venv $(VENV)-wheel
	@$(VENV)-wheel/bin/python requirements/install requirements/dev.lock
	@$(VENV)-wheel/bin/python -m pip install --quiet --disable-pip-version-check --no-deps build/monitord-*.whl
	@$(VENV)-wheel/bin/python -P $(PYTEST) $(TESTS)

bench: $(VENV)/.dev  ## measure; prints a table, fails when a limit is missed
	@$(BIN)/python -m tests.bench

torture: $(VENV)/.dev  ## ten minutes (or SECONDS=...) of crashes, outages and full disks, at random
	@MONITORD_TORTURE_SECONDS=$(or $(SECONDS),600) $(BIN)/python -m pytest tests/acceptance -k all_faults

check: lint types  ## ruff and mypy

lint: $(VENV)/.dev
	@$(BIN)/ruff check . && $(BIN)/ruff format --check .

types: $(VENV)/.dev
	@$(BIN)/mypy

build: $(VENV)/.dev  ## the wheel, in build/
	@rm -f build/monitord-*.whl
	@$(BIN)/python -m pip wheel --quiet --disable-pip-version-check --no-deps --no-build-isolation --wheel-dir build .

lock:  ## write requirements/*.lock anew (needs uv)
	@requirements/lock

clean:  ## remove everything that was installed or built
	rm -rf $(VENV) $(VENV)-wheel build web/dist web/node_modules

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "monitord needs Python 3.11 or newer; set PYTHON=..."; exit 1; }
	@echo "Creating $(VENV)"
	@$(PYTHON) -m venv $(VENV)

$(VENV)/.deps: requirements/run.lock | $(BIN)/python
	@echo "Installing the locked packages (first time: about 120 MB)"
	@$(BIN)/python requirements/install requirements/run.lock
	@touch $@

$(VENV)/.run: $(VENV)/.deps pyproject.toml hatch_build.py $(WEB)
	@echo "Building the page and installing monitord"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	@touch $@

$(VENV)/.dev: $(VENV)/.run requirements/dev.lock
	@echo "Installing the test tools (first time: about 60 MB)"
	@$(BIN)/python requirements/install requirements/dev.lock
	@touch $@
