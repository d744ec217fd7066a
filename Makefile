# make run | make test | make check, on a machine with nothing but git, make and Python 3.11+.

SHELL := /bin/sh
PYTHON ?= python3
PORT ?= 8000
PY := .venv/bin/python
export PYTHONDONTWRITEBYTECODE =# empty: tests start many processes, and each would compile the code again

.PHONY: help run dev test check audit citus faults e2e rollout bench bench-growth client packages format lock
.DEFAULT_GOAL := help

help:
	@echo "make run [PORT=8000]  serve the API on a private PostgreSQL, without any configuration"
	@echo "make dev [PORT=8000]  the same, and restart when the code changes"
	@echo "make test             all tests but those of faults, browsers and deployment"
	@echo "make check            tests, types, style and architecture"
	@echo "make audit            known vulnerabilities, licences, and what the CI workflows may do"
	@echo "make citus            the same on a Citus cluster (CITUS_URL=..., a database that is emptied)"
	@echo "make faults           inject database and network faults; report the results"
	@echo "make e2e              against a real Better Auth server and in a real browser"
	@echo "make rollout          as in production: behind nginx, restarted under load"
	@echo "make bench            what a request costs, beside other servers (ARGS=--help for less than all)"
	@echo "make bench-growth     what ten million tasks change, and what a very long list does"
	@echo "make client           the TypeScript client's types and version, from what the API says of itself"
	@echo "make packages         what a release has, into dist/"
	@echo "make format           format the code"
	@echo "make lock             pin dependencies with hashes"

run: .venv/installed
	@exec $(PY) -m entrypoints.cli serve --private --host 127.0.0.1 --port $(PORT)

dev: .venv/installed
	@exec $(PY) -m entrypoints.cli serve --private --host 127.0.0.1 --port $(PORT) --reload

test: .venv/installed
	@$(PY) -m pytest -n auto --dist worksteal -m "not scenario or quick" \
		--ignore=tests/e2e --ignore=tests/deploy --ignore=tests/audit
	@echo "Not run: tests on a Citus cluster (make citus CITUS_URL=...)"

check: .venv/installed
	@echo "== style" && $(PY) -m ruff check . && $(PY) -m ruff format --check .
	@echo "== types" && $(PY) -m mypy
	@echo "== architecture" && .venv/bin/lint-imports --no-cache
	@echo "== tests" && $(MAKE) --no-print-directory test

audit: .venv/installed
	@sh tests/audit/install.sh
	@$(PY) -m pytest tests/audit -rs

citus: .venv/installed
	@TEST_CITUS_URL="$(CITUS_URL)" $(PY) -m pytest tests/citus

faults: .venv/installed
	@sh tests/faults/install.sh
	@$(PY) -m pytest tests/faults -m scenario --report=docs/explanation/reliability.md

e2e: .venv/installed
	@sh tests/e2e/install.sh
	@$(PY) -m pytest tests/e2e

rollout: .venv/installed
	@sh tests/deploy/install.sh
	@$(PY) -m pytest tests/deploy

bench: .venv/installed
	@sh benchmarks/peers/install.sh
	@$(PY) -m pytest benchmarks
	@$(PY) -m benchmarks $(ARGS)

bench-growth: .venv/installed
	@sh benchmarks/peers/install.sh
	@$(PY) -m benchmarks.growth

client: .venv/installed
	@$(PY) -m entrypoints.cli openapi >clients/typescript/openapi.json
	@cd clients/typescript && npm ci --silent && npm run --silent types
	@cd clients/typescript && npm version --silent --no-git-tag-version --allow-same-version \
		$$(../../$(PY) -c 'from importlib.metadata import version; print(version("todo-backend"))') >/dev/null

packages: .venv/installed
	@rm -rf dist && $(PY) -m hatchling build
	@cd clients/typescript && npm ci --silent && npm pack --silent --pack-destination ../../dist
	@cp requirements.txt requirements-otel.txt dist
	@awk '/^## /{released += /\[[0-9]/; next} released == 1' CHANGELOG.md >dist/notes.md

format: .venv/installed
	@$(PY) -m ruff check --fix --quiet . ; $(PY) -m ruff format .

# Pins every dependency by hash, for every platform. Run it after a change of pyproject.toml.
lock: .venv/installed
	$(PY) -m uv pip compile -q --universal --python-version 3.11 --generate-hashes --no-header --no-annotate \
		pyproject.toml -o requirements.txt
	$(PY) -m uv pip compile -q --universal --python-version 3.11 --generate-hashes --no-header --no-annotate \
		pyproject.toml --extra otel -c requirements.txt -o requirements-otel.txt
	$(PY) -m uv pip compile -q --universal --python-version 3.11 --generate-hashes --no-header --no-annotate \
		pyproject.toml --extra otel --group dev -c requirements.txt -o requirements-dev.txt
	$(PY) -m uv pip compile -q --universal --python-version 3.11 --generate-hashes --no-header --no-annotate \
		--group build -c requirements-dev.txt -o requirements-build.txt
	$(PY) -m uv pip compile -q --universal --python-version 3.11 --generate-hashes --no-header --no-annotate \
		--group audit -c requirements-dev.txt -o requirements-audit.txt
	$(PY) -m uv pip compile -q --universal --python-version 3.11 --generate-hashes --no-header --no-annotate \
		--group rollout -c requirements-audit.txt -o requirements-rollout.txt

# The commands in .venv name its path, so it is made again where the folder was moved.
ifneq "$(shell cat .venv/installed 2>/dev/null)" "$(CURDIR)"
.PHONY: .venv/installed
endif
.venv/installed: requirements-dev.txt pyproject.toml install.sh
	@sh ./install.sh $(PYTHON)
