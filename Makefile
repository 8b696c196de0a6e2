# Two commands to know: `make demo` and `make test`. Each does all the set-up it needs.
BIN := .venv/bin
WORKERS ?= auto

.PHONY: help demo test lint types contracts check check-full bench lock clean core-environment environment full-environment

help:  ## What there is to make
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 14

demo: core-environment  ## The main job on the packaged housing data, ending in real predictions
	$(BIN)/penstock demo

test: environment  ## The everyday tests
	$(BIN)/python -m pytest -n $(WORKERS) -m "not slow and not gpu"

lint: environment  ## Format and lint
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .

types: environment  ## mypy, strict
	$(BIN)/mypy

contracts: environment  ## Which room may import which
	$(BIN)/lint-imports

check: lint types contracts test  ## What CI runs: under 10 minutes on 2 cores

check-full: full-environment lint types contracts  ## check, and what is slow: chaos, clusters, browsers, every backend; no skips
	scripts/system-packages.sh
	PENSTOCK_NO_SKIPS=1 $(BIN)/python -m pytest -n $(WORKERS) -m "not gpu" --timeout 1800

bench: full-environment  ## Speeds, next to peers measured in the same run
	$(BIN)/python -m benchmarks
	scripts/benchmark-page.sh

lock:  ## Compile the hashed requirement files anew
	scripts/lock.sh

clean:  ## Remove what was built
	rm -rf .venv build dist .mypy_cache .pytest_cache .ruff_cache .import_linter_cache .hypothesis

core-environment:
	@scripts/environment.sh core

environment:
	@scripts/environment.sh dev

full-environment:
	@scripts/environment.sh full
