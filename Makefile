# The two commands of the README, and what developers need. Everything happens in $(VENV); nothing else is touched.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed

.PHONY: demo test coverage lint format bench docs clean help

help: ## this list
	@grep -E '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*##/\t/'

$(STAMP): pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --editable '.[dev]'
	touch $(STAMP)

demo: $(STAMP) ## simulate a lysozyme still and draw it: demo/lysozyme.png
	$(BIN)/nbnumba demo

test: $(STAMP) ## every test, on all cores
	$(BIN)/python -m pytest -n auto --dist worksteal

coverage: $(STAMP) ## every test, and the lines they reach; fails below 95 %
	$(BIN)/python -m coverage erase
	$(BIN)/python -m coverage run -m pytest -n auto --dist worksteal
	$(BIN)/python -m coverage combine --quiet
	$(BIN)/python -m coverage report

lint: $(STAMP) ## style and types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: $(STAMP) ## put the code in form
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench: $(STAMP) ## time the real workloads on this machine
	$(BIN)/python -m bench.cpu

docs: $(STAMP) ## the documentation as a site: site/index.html
	$(BIN)/python -m sphinx -W --keep-going --quiet docs site

clean: ## remove what the commands above made
	rm -rf $(VENV) build dist demo site *.egg-info .coverage .coverage.* .pytest_cache .mypy_cache .ruff_cache .hypothesis
