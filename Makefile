# Every target makes its own .venv from pyproject.toml and constraints.txt.
PYTHON ?= python3
BIN := .venv/bin
TEXTS ?= out/demo/_demo/train.jsonl
VALIDATION ?= out/demo/_demo/validation.jsonl
TEACHER ?= out/demo/_demo/teacher
STUDENT ?= out/demo
export TOKENIZERS_PARALLELISM ?= false

.PHONY: help demo test test-slow test-pages test-oldest wheel-test lint bench docs clean

help:  ## Show the targets
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-11s %s\n", $$1, $$2}'

demo: .venv/test  ## Distil a small teacher, without network or data: report and two predictions
	$(BIN)/python examples/run_distill.py --output_dir out/demo

# Two things that run at once on few cores must not spin while they wait; one alone is faster if it does.
test test-slow test-pages test-oldest wheel-test: export OMP_WAIT_POLICY = PASSIVE

test: .venv/test  ## Run the default tests
	$(BIN)/python -m pytest

test-pages: .venv/dev  ## Run every block of the docs, and the longest demo: a quarter of an hour
	$(BIN)/python -m pytest -m pages

test-slow: .venv/test  ## Run the tests that take longer
	$(BIN)/python -m pytest -m slow

test-oldest: out/oldest/done  ## Run the default tests with the oldest versions that pyproject.toml allows
	out/oldest/bin/python -m pytest -o filterwarnings=default

# It starts from the source distribution, and from a folder that is not the checkout, as people do who install it.
wheel-test: .venv/test  ## Build the wheel, install it in an environment of its own, and run its commands there
	set -e; folder=$$(mktemp -d); trap 'rm -rf "$$folder"' EXIT; \
	$(BIN)/python -m hatchling build -t sdist -d "$$folder"; \
	$(BIN)/python -m pip wheel --quiet --no-deps -w "$$folder" "$$folder"/*.tar.gz; \
	$(PYTHON) -m venv "$$folder/venv"; \
	"$$folder/venv/bin/python" -m pip install --quiet -c constraints.txt "$$(echo "$$folder"/*.whl)[onnx]"; \
	cd "$$folder"; PATH="$$folder/venv/bin:$$PATH"; \
	hf-bilstm-distill --version; \
	hf-bilstm-distill demo --output_dir student --n_iter 0 --num_train_epochs 1 --baseline false; \
	test -s student/README.md; test -s student/report.html; \
	hf-bilstm-distill export --student student --output_dir exported; \
	echo "the plot is far from dull ." | hf-bilstm-distill predict exported

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
	$(BIN)/python benchmarks/serving_steps.py --texts $(TEXTS) --student $(STUDENT)

docs: .venv/docs  ## Build the site of the docs, in out/docs
	$(BIN)/python -m sphinx -W --keep-going docs out/docs

out/demo/_demo/train.jsonl:
	$(MAKE) demo

clean:  ## Remove what the other targets made
	rm -rf .venv out build dist .pytest_cache .mypy_cache .ruff_cache .hypothesis

.venv/bin/python:
	$(PYTHON) -c 'import sys; sys.exit(0 if sys.version_info >= (3, 11) else "Python 3.11 or newer is needed: make PYTHON=...")'
	$(PYTHON) -m venv .venv

# Its oldest packages have wheels for Python 3.11 alone.
out/oldest/done: pyproject.toml constraints-oldest.txt
	$(PYTHON) -c 'import sys; sys.exit(0 if sys.version_info[:2] == (3, 11) else "Python 3.11 is needed: make PYTHON=...")'
	$(PYTHON) -m venv out/oldest
	out/oldest/bin/python -m pip install --quiet --disable-pip-version-check -c constraints-oldest.txt -e ".[test]"
	@touch $@

.venv/%: .venv/bin/python pyproject.toml constraints.txt
	@echo "Installing into .venv: a minute or two"
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e ".[$*]"
	@touch $@
