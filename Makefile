# make run | make test | make check, on a machine with nothing but git, make and Python 3.11+.

SHELL := /bin/sh
PYTHON ?= python3
PORT ?= 8000
BIN := .venv/bin

.PHONY: run test check format lock
.DEFAULT_GOAL := help

help:
	@echo "make run [PORT=8000]  serve on a private PostgreSQL, with nothing to configure"
	@echo "make test             all tests, on real PostgreSQL"
	@echo "make check            tests, types, style and architecture"

run: .venv/installed
	@exec $(BIN)/todo serve --port $(PORT)

test: .venv/installed
	@$(BIN)/pytest -n auto

check: .venv/installed
	@echo "== style" && $(BIN)/ruff check . && $(BIN)/ruff format --check .
	@echo "== types" && $(BIN)/mypy
	@echo "== architecture" && $(BIN)/lint-imports --no-cache
	@echo "== tests" && $(MAKE) --no-print-directory test

format: .venv/installed
	@$(BIN)/ruff check --fix --quiet . ; $(BIN)/ruff format .

# Pins every dependency by hash, for every platform. Run it after a change of pyproject.toml.
lock: .venv/installed
	$(BIN)/uv pip compile -q --universal --python-version 3.11 --generate-hashes --no-header --no-annotate \
		pyproject.toml -o requirements.txt
	$(BIN)/uv pip compile -q --universal --python-version 3.11 --generate-hashes --no-header --no-annotate \
		pyproject.toml --group dev -c requirements.txt -o requirements-dev.txt

.venv/installed: requirements-dev.txt pyproject.toml
	@sh ./install.sh $(PYTHON)
