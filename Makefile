# Two commands do all the set-up: `make demo` and `make test`. Nothing is reinstalled while pins stay the same.
VENV ?= .venv
BIN := $(VENV)/bin
PYTHON ?= $(shell command -v python3.11 || command -v python3)
STAMP := $(VENV)/.installed
TEST_PROCESSES ?= 2

export LIFTOS_HOME ?= $(CURDIR)/.liftos
export DAGSTER_HOME ?= $(CURDIR)
export LIFTOS_DAGSTER_STORAGE ?= $(LIFTOS_HOME)/dagster
export MLFLOW_DISABLE_TELEMETRY = true
export DAGSTER_DISABLE_TELEMETRY = 1
export GX_ANALYTICS_ENABLED = false
export HF_HUB_OFFLINE = 1
export OMP_NUM_THREADS ?= 1

.PHONY: help install demo up test test-slow lint format check bench peers clean

help:
	@echo "make demo       build the demo client, run every module, print findings beside the truth"
	@echo "make test       lint, type-check and run the test suite"
	@echo "make up         Dagster web UI and daemon, MLflow UI"
	@echo "make test-slow  statistical runs over many simulated worlds"
	@echo "make bench      measure the project's figures on this machine"
	@echo "make peers      install PyMC-Marketing and Meridian apart, so that bench causal measures them too"
	@echo "make format     format the code"
	@echo "make clean      remove .liftos (all data) and .venv"

$(STAMP): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(0 if (3, 11) <= sys.version_info < (3, 13) else "Python 3.11 or 3.12 is needed, found " + sys.version)'
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt pip setuptools wheel
	@# torch first and by itself: an index that offers a CPU build then gives that one.
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt torch
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[dev]'
	@# The marketing-mix model's density is compiled once, here, and kept on disk.
	$(BIN)/python -c 'import liftos_pipelines.modules.causal.engine.native'
	@touch $(STAMP)

install: $(STAMP)

demo: $(STAMP)
	$(BIN)/liftos demo

up: $(STAMP)
	$(BIN)/liftos up

lint: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports
	$(BIN)/mypy

check: $(STAMP)
	@mkdir -p $(LIFTOS_DAGSTER_STORAGE)
	$(BIN)/dg check defs

test: lint check
	$(BIN)/python -m pytest -n $(TEST_PROCESSES) --dist loadfile

test-slow: $(STAMP)
	$(BIN)/python -m pytest -m slow

bench: $(STAMP)
	$(BIN)/liftos bench

# Each in an environment of its own, found there by the benchmark. Versions are those the recorded figures are of.
peers:
	test -x .peers/pymc-marketing/bin/python || $(PYTHON) -m venv .peers/pymc-marketing
	.peers/pymc-marketing/bin/python -m pip install --quiet --disable-pip-version-check pymc-marketing==0.19.2 nutpie==0.16.8
	test -x .peers/meridian/bin/python || $(PYTHON) -m venv .peers/meridian
	.peers/meridian/bin/python -m pip install --quiet --disable-pip-version-check google-meridian==2.1.0

format: $(STAMP)
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

clean:
	rm -rf .liftos $(VENV)
