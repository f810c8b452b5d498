# The same three entry points for people and for CI.
PYTHON ?= .venv/bin/python

.PHONY: check test format

check:  ## lint, format and types
	$(PYTHON) -m ruff check .
	$(PYTHON) -m ruff format --check .
	$(PYTHON) -m mypy

test:  ## everything
	$(PYTHON) -m pytest

format:  ## mend what can be mended
	$(PYTHON) -m ruff check --fix .
	$(PYTHON) -m ruff format .
