# Every target makes its own .venv from pyproject.toml and constraints.txt.
PYTHON ?= python3
BIN := .venv/bin
TEXTS ?= out/demo/_demo/train.jsonl
VALIDATION ?= out/demo/_demo/validation.jsonl
TEACHER ?= out/demo/_demo/teacher
STUDENT ?= out/demo
export TOKENIZERS_PARALLELISM ?= false

.PHONY: help demo test test-slow lint bench clean

help:  ## Show the targets
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-10s %s\n", $$1, $$2}'

demo: .venv/test  ## Distil a small teacher, without network or data: report and two predictions
	$(BIN)/python examples/run_distill.py --output_dir out/demo

# Two things that run at once on few cores must not spin while they wait; one alone is faster if it does.
test test-slow: export OMP_WAIT_POLICY = PASSIVE

test: .venv/test  ## Run the default tests
	$(BIN)/python -m pytest

test-slow: .venv/test  ## Run the tests that take longer
	$(BIN)/python -m pytest -m slow

lint: .venv/dev  ## Check format, style, types, imports and docstrings
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/pydoclint -q hf_bilstm_distill

bench: .venv/bench $(TEXTS)  ## Run the benchmarks, on the demo or on TEXTS=, VALIDATION=, TEACHER=, STUDENT=
	$(BIN)/python benchmarks/taggers.py --texts $(TEXTS)
	$(BIN)/python benchmarks/augmentation.py --texts $(TEXTS)
	$(BIN)/python benchmarks/labeling.py --texts $(TEXTS) --teacher $(TEACHER)
	$(BIN)/python benchmarks/pairs.py --texts $(TEXTS) --teacher $(TEACHER)
	$(BIN)/python benchmarks/training.py --texts $(TEXTS) --teacher $(TEACHER)
	$(BIN)/python benchmarks/inference.py --texts $(VALIDATION) --teacher $(TEACHER) --student $(STUDENT)

out/demo/_demo/train.jsonl:
	$(MAKE) demo

clean:  ## Remove what the other targets made
	rm -rf .venv out build dist .pytest_cache .mypy_cache .ruff_cache .hypothesis

.venv/bin/python:
	$(PYTHON) -c 'import sys; sys.exit(0 if sys.version_info >= (3, 11) else "Python 3.11 or newer is needed: make PYTHON=...")'
	$(PYTHON) -m venv .venv

.venv/%: .venv/bin/python pyproject.toml constraints.txt
	@echo "Installing into .venv: a minute or two"
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e ".[$*]"
	@touch $@
