# The same entry points for people and for CI.
PYTHON ?= .venv/bin/python

.PHONY: check test slow format docs pages notebooks

check:  ## lint, format and types
	$(PYTHON) -m ruff check .
	$(PYTHON) -m ruff format --check .
	$(PYTHON) -m mypy

test:  ## what the README's command runs
	$(PYTHON) -m pytest -n 2

slow:  ## the rest: every size, real data, long trainings
	$(PYTHON) -m pytest -n 2 -m slow

format:  ## mend what can be mended
	$(PYTHON) -m ruff check --fix .
	$(PYTHON) -m ruff format .

docs:  ## the site, into site/; `python -m http.server -d site` shows it
	$(PYTHON) -m mkdocs build --strict

pages:  ## the pages that are made of code and figures, anew
	for page in models tasks commands benchmarks; do PYTHONPATH=. $(PYTHON) docs/$$page.py || exit 1; done
	$(PYTHON) -m benchmarks.formats --render

notebooks:  ## what the notebooks of examples/ show, anew
	$(PYTHON) examples/run.py
