# make run | make test | make check, on a machine with nothing but git, make and Python 3.11+.

SHELL := /bin/sh
PYTHON ?= python3
PORT ?= 8000
PY := .venv/bin/python

.PHONY: help run test check e2e format lock
.DEFAULT_GOAL := help

help:
	@echo "make run [PORT=8000]  serve on a private PostgreSQL, with nothing to configure"
	@echo "make test             all tests, on real PostgreSQL"
	@echo "make check            tests, types, style and architecture"
	@echo "make e2e              against a real Better Auth server and in a real browser"
	@echo "make format           puts the code into its style"
	@echo "make lock             pins what pyproject.toml asks for, by hash"

run: .venv/installed
	@exec $(PY) -m entrypoints.cli serve --port $(PORT)

test: .venv/installed
	@$(PY) -m pytest -n auto --ignore=tests/e2e

check: .venv/installed
	@echo "== style" && $(PY) -m ruff check . && $(PY) -m ruff format --check .
	@echo "== types" && $(PY) -m mypy
	@echo "== architecture" && .venv/bin/lint-imports --no-cache
	@echo "== tests" && $(MAKE) --no-print-directory test

e2e: .venv/installed
	@sh tests/e2e/install.sh
	@$(PY) -m pytest tests/e2e

format: .venv/installed
	@$(PY) -m ruff check --fix --quiet . ; $(PY) -m ruff format .

# Pins every dependency by hash, for every platform. Run it after a change of pyproject.toml.
lock: .venv/installed
	$(PY) -m uv pip compile -q --universal --python-version 3.11 --generate-hashes --no-header --no-annotate \
		pyproject.toml -o requirements.txt
	$(PY) -m uv pip compile -q --universal --python-version 3.11 --generate-hashes --no-header --no-annotate \
		pyproject.toml --group dev -c requirements.txt -o requirements-dev.txt

.venv/installed: requirements-dev.txt pyproject.toml install.sh
	@sh ./install.sh $(PYTHON)
