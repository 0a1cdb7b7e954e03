# The two commands of the README, and what developers need. Everything happens in $(VENV); nothing else is touched.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check --editable
# what is installed: what runs; what tests need as well; what linters and the site need as well
RUN := $(VENV)/.run
TEST := $(VENV)/.test
DEV := $(VENV)/.dev

.PHONY: demo test test-all coverage lint format bench docs clean help

help: ## this list
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*##/\t/'

$(RUN): pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(PIP) .
	touch $(RUN)

$(TEST): $(RUN)
	$(PIP) '.[test]'
	touch $(TEST)

$(DEV): $(RUN)
	$(PIP) '.[dev]'
	touch $(DEV) $(TEST)

demo: $(RUN) ## simulate a lysozyme still and draw it: demo/lysozyme.png
	$(BIN)/nbnumba demo

test: $(TEST) ## the tests, on all cores
	$(BIN)/python -m pytest -n auto --dist worksteal -m "not slow"

test-all: test ## these, and the tests that are slower and rarer
	$(BIN)/python -m pytest -n auto --dist worksteal -m slow

coverage: $(TEST) ## every test, and the lines they reach; fails below 95 %
	$(BIN)/python -m coverage erase
	$(BIN)/python -m coverage run -m pytest -n auto --dist worksteal
	$(BIN)/python -m coverage combine --quiet
	$(BIN)/python -m coverage report

lint: $(DEV) ## style and types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: $(DEV) ## put the code in form
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench: $(RUN) ## time the real workloads on this machine
	$(BIN)/python -m bench.cpu

docs: $(DEV) ## the documentation as a site: site/index.html
	$(BIN)/python -m sphinx -W --keep-going --quiet docs site

clean: ## remove what the commands above made
	rm -rf $(VENV) build dist demo site *.egg-info .coverage .coverage.* .pytest_cache .mypy_cache .ruff_cache .hypothesis
