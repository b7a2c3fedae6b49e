# Two commands for a newcomer: `make demo` and `make test`. Each installs what it needs first (setup.sh).
PY := .venv/bin/python
SELECT ?= not slow
TESTS ?= tests

.PHONY: help setup demo test test-all lint docs screens bench clean

help:           ## show this
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## */\t/' | expand -t 12

setup:          ## what the demo needs
	@./setup.sh demo

demo: setup     ## a county and a box in this terminal (ARGS="--library DIR" for your own lessons)
	@$(PY) samples/demo.py $(ARGS)

test:           ## all tests but the slow ones
	@./setup.sh test
	$(PY) -m pytest -m "$(SELECT)" $(TESTS)

test-all:       ## the slow ones too
	@$(MAKE) --no-print-directory test SELECT=

lint:           ## ruff and mypy
	@./setup.sh test
	$(PY) -m ruff check .
	$(PY) -m ruff format --check .
	$(PY) -m mypy

docs:           ## write the pages that are made from the program: settings, errors, commands
	@./setup.sh test
	$(PY) docs/reference.py

screens:        ## screenshots of the main pages into docs/screens
	@./setup.sh bench
	$(PY) -m tests.e2e.screens

bench:          ## side-by-side measurements (docs/benchmarks.md)
	@./setup.sh bench
	@for program in bench/*.py; do echo "== $$program"; $(PY) $$program || exit 1; done

clean:          ## remove what was made here
	rm -rf .venv build dist *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis
