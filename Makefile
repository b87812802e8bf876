# `make demo` and `make test` do everything, set-up included; neither needs root.
SHELL := /bin/sh
PYTHON ?= python3
VENV := .venv/bin
NATIVE := engine/native/sparse.x86_64.so
export NODE_NO_WARNINGS := 1
export PIP_DISABLE_PIP_VERSION_CHECK := 1

SECONDS ?= 60
SEED ?= 0

.PHONY: setup demo test test-cloud test-rest conformance fuzz soak lint format clean

setup: .venv/.done .venv/cloud/.done node_modules/.done $(NATIVE)

.venv/.done: requirements/dev.txt pyproject.toml
	@echo "setup: Python packages"
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed: make PYTHON=python3.12")'
	@$(PYTHON) -m venv .venv
	@$(VENV)/python -m pip install --quiet --require-hashes -r requirements/dev.txt
	@$(VENV)/python -m pip install --quiet --no-deps --no-build-isolation --editable .
	@touch $@

.venv/cloud/.done: requirements/cloud.txt | .venv/.done
	@echo "setup: embedded cloud"
	@$(PYTHON) -m venv .venv/cloud
	@.venv/cloud/bin/python -m pip install --quiet --require-hashes -r requirements/cloud.txt
	@touch $@

node_modules/.done: package-lock.json .npmrc
	@echo "setup: Serverless Framework"
	@npm ci --silent
	@touch $@

# The libraries of all architectures are built together.
$(NATIVE): engine/native/sparse.c $(wildcard engine/native/*.h) engine/native/build.py | .venv/.done
	@echo "setup: kernels in C"
	@$(VENV)/python -m engine.native.build

demo: setup
	@$(VENV)/fsd demo

# Two at once: those that use the embedded cloud wait most of the time.
test: setup
	@$(MAKE) --no-print-directory --jobs=2 --output-sync=target --keep-going test-cloud test-rest

test-cloud:
	@$(VENV)/python -m pytest -m 'cloud and not soak'

test-rest:
	@$(VENV)/python -m pytest -m 'not cloud and not soak'

conformance: setup
	@$(VENV)/python -m tests.conformance.run_all

# SECONDS for each target; SEED of the mutants.
fuzz: setup
	@$(VENV)/python -m tests.fuzz.run --seconds $(SECONDS) --seed $(SEED)

# What make test does in short, in full: an hour.
soak: setup
	@$(VENV)/python -m tests.fuzz.run frames --count 100000 --seed $(SEED)
	@$(VENV)/python -m tests.fuzz.run onnx --count 2000 --seed $(SEED)
	@$(VENV)/python -m pytest -m soak --timeout 3600
	@$(VENV)/fsd chaos --runs 1000 --seed $(SEED)

lint: setup
	@$(VENV)/ruff format --check .
	@$(VENV)/ruff check .
	@$(VENV)/mypy

format: setup
	@$(VENV)/ruff format .
	@$(VENV)/ruff check --fix .

clean:
	@test ! -x $(VENV)/fsd || $(VENV)/fsd cloud down
	@rm -rf .fsd .serverless .venv node_modules engine/native/*.so
