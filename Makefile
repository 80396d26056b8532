# Each target brings .venv up to what it needs; a stamp per extra says that it is there.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
JOBS ?= auto

.DEFAULT_GOAL := help
.PHONY: help demo test lint format bench soak test-tflite clean

help:
	@echo "make demo          hear a synthesised scene through the daemon and a subscriber"
	@echo "make test          run the tests"
	@echo "make lint          ruff and mypy --strict"
	@echo "make bench         measure, side by side"
	@echo "make soak          the tests that run for minutes or hours"
	@echo "make test-tflite   the runtime on tflite-runtime, for boards without LiteRT"
	@echo "make clean         remove the environments"

demo: $(VENV)/.stamp-runtime
	$(BIN)/auricle demo

test: $(VENV)/.stamp-dev $(VENV)/.stamp-build
	$(BIN)/python -m pytest -n $(JOBS) --dist loadfile

lint: $(VENV)/.stamp-dev
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy

format: $(VENV)/.stamp-dev
	$(BIN)/ruff check --fix
	$(BIN)/ruff format

bench: $(VENV)/.stamp-dev
	$(BIN)/python -m pytest -m bench -s -q tests/bench

soak: $(VENV)/.stamp-dev $(VENV)/.stamp-build
	$(BIN)/python -m pytest -m soak -s --timeout 0

# An environment of its own: tflite-runtime needs numpy 1 and Python <= 3.11, and LiteRT must not be found beside it.
test-tflite: $(VENV)-tflite/.stamp
	$(VENV)-tflite/bin/python -m pytest -q tests/daemon/test_bundle.py tests/daemon/test_replay.py

$(VENV)-tflite/.stamp: pyproject.toml
	$(PYTHON) -m venv $(VENV)-tflite
	$(VENV)-tflite/bin/pip install -q -e '.[tflite]' pytest pytest-timeout hypothesis jsonschema
	$(VENV)-tflite/bin/pip uninstall -q -y ai-edge-litert
	touch $@

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
	  || { echo "auricle needs Python 3.11 or later; try: make PYTHON=python3.12 $(MAKECMDGOALS)" >&2; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null \
	  || { echo "this Python cannot make environments; on Debian and Ubuntu: sudo apt-get install python3-venv" >&2; exit 1; }
	$(PYTHON) -m venv $(VENV)

$(VENV)/.stamp-runtime: pyproject.toml | $(BIN)/python
	$(BIN)/python -m pip install -q -e .
	@touch $@

$(VENV)/.stamp-dev: pyproject.toml $(VENV)/.stamp-runtime
	$(BIN)/python -m pip install -q -e '.[dev,plot]'
	@touch $@

# The model side is wanted, not needed: its tests skip by name where TensorFlow cannot be had.
$(VENV)/.stamp-build: pyproject.toml $(VENV)/.stamp-dev
	@if [ "$$(df -Pk . | awk 'NR == 2 {print $$4}')" -lt 4000000 ]; then \
	  echo "less than 4 GB are free: TensorFlow is left out, the model side's tests will skip"; \
	elif ! $(BIN)/python -m pip install -q --dry-run --no-deps --only-binary :all: 'tensorflow>=2.16' >/dev/null 2>&1; then \
	  echo "pip has no TensorFlow for this machine: it is left out, the model side's tests will skip"; \
	else $(BIN)/python -m pip install -q -e '.[build]'; fi
	@touch $@

clean:
	rm -rf $(VENV) $(VENV)-tflite
