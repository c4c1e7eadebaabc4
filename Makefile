# Every target sets up what it needs: a virtual environment in .venv with tlbench installed in place.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
export PATH := $(CURDIR)/$(BIN):$(PATH)

.PHONY: help evaluate quick test test-slow test-faults test-browser check format lint types contract clean

help:
	@echo "make evaluate   install, then: tlbench evaluate --method spam --suite classic"
	@echo "make quick      install, then the same in its quick form (under a minute)"
	@echo "make test       install, then all tests but the slow ones"
	@echo "make check      format, lint, types, import contract, tests"
	@echo "make test-slow  the slow tests"
	@echo "make test-faults  kills, full disks, damaged files, two drivers: what is lost, what is told"
	@echo "make test-browser  the leaderboard's site in Chromium (Debian: chromium, chromium-driver)"
	@echo "make format     write the format that 'make check' wants"

$(BIN)/.installed: pyproject.toml
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "tlbench needs Python 3.11 or newer: make PYTHON=python3.11 ...")'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -m pip install --quiet --editable '.[dev]'
	@touch $@

evaluate: $(BIN)/.installed
	tlbench evaluate --method spam --suite classic

quick: $(BIN)/.installed
	tlbench evaluate --method spam --suite classic --quick

test: $(BIN)/.installed
	pytest -m "not slow and not browser and not faults" -n auto --dist worksteal

test-slow: $(BIN)/.installed
	pytest -m "slow and not faults" -n auto

test-faults: $(BIN)/.installed
	pytest -m faults -n 0

test-browser: $(BIN)/.installed
	pytest -m browser tests/browser

format: $(BIN)/.installed
	ruff format .
	ruff check --fix .

lint: $(BIN)/.installed
	ruff format --check .
	ruff check .

types: $(BIN)/.installed
	.ci/tree mypy --strict -p tlbench

contract: $(BIN)/.installed
	.ci/tree lint-imports --no-logo

check: lint types contract test

clean:
	rm -rf $(VENV) build dist *.egg-info
