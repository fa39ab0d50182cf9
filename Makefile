# The README's commands. Everything runs in .venv, which is set up from requirements.lock.
PYTHON ?= python3
export PATH := $(CURDIR)/.venv/bin:$(PATH)

.PHONY: repro test test-slow lint bench pin

repro: .venv/complete
	dvc repro
	@python -m stages.report

test: .venv/complete
	python -m pytest

test-slow: .venv/complete
	python -m pytest -m slow

lint: .venv/complete
	ruff check
	ruff format --check
	mypy

pin: .venv/complete
	python -m stages.pin

bench: .venv/complete
	for script in benchmarks/*.py; do python $$script || exit 1; done

.venv/complete: requirements.lock
	@$(PYTHON) -c 'import sys; sys.exit(None if (3, 11) <= sys.version_info < (3, 14) else "make: $(PYTHON) is Python %d.%d; name another with make PYTHON=python3.11 (3.11 to 3.13)" % sys.version_info[:2])'
	$(PYTHON) -m venv .venv
	.venv/bin/python -m pip install --quiet --disable-pip-version-check -r requirements.lock
	@touch $@
