# Aftershock: every target sets up what it needs first. `make` alone prints this list.
PYTHON ?= python3
BIN := .venv/bin
CASE ?= soundcloud
BUCKET ?= day
PORT ?= 8501
FILE ?= ../shared/data/stance_dev.ndjson
export PYTHONUTF8 := 1

.DEFAULT_GOAL := help
.PHONY: help setup run interpreters test test-long test-browser test-bluesky test-embeddings testbed-bluesky lint bench stance-model embeddings stance-embeddings eval-stance demo collect score export dashboard schedule lock clean

help: ## print this list
	@echo "usage: make TARGET"
	@sed -n 's/^\([a-z][a-z-]*\):.*## /  \1|/p' $(MAKEFILE_LIST) | awk -F'|' '{printf "%-18s %s\n", $$1, $$2}'

setup: .venv/ready ## create .venv and install everything into it (idempotent)

.venv/ready: requirements.txt pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "Aftershock needs Python 3.11 or newer; $$($(PYTHON) --version) is too old. Name a newer one: make PYTHON=python3.12 $(MAKECMDGOALS)" >&2; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || { echo "This Python cannot make virtual environments. On Debian and Ubuntu: apt install python3-venv, then run make again." >&2; exit 1; }
	@echo "Setting up .venv (the first time takes a few minutes) ..."
	@$(PYTHON) -m venv .venv
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements.txt
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	@touch .venv/ready

run: setup ## collect, score and open the dashboard on http://127.0.0.1:8501 (the demo while the store is empty)
	@$(BIN)/aftershock run --port $(PORT)

interpreters: setup ## get numpy for the other Pythons on this machine, which tone is tested on too
	@$(BIN)/python -m tests.interpreters

test: setup interpreters ## run the tests (no network but loopback)
	@$(BIN)/pytest -n auto --dist worksteal -q -m 'not browser and not long and not bluesky'

test-long: setup ## run the long tests of the store: kills and races by the hundred (some minutes)
	@$(BIN)/pytest -n auto --dist worksteal -q -m long
	@AFTERSHOCK_KILLS=20 $(BIN)/pytest -n auto --dist worksteal -q -k kill tests/test_forget.py tests/test_migrate.py

test-browser: setup ## run the browser tests (needs chromium)
	@command -v chromium >/dev/null || command -v chromium-browser >/dev/null || { echo "The browser tests need chromium. On Debian and Ubuntu: apt install chromium, then run make again." >&2; exit 1; }
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements-browser.txt
	@$(BIN)/pytest -q -m browser tests/browser

test-bluesky: setup testbed-bluesky ## run the tests against real Bluesky servers on this machine
	@$(BIN)/pytest -q -m bluesky tests/bluesky

testbed-bluesky: tests/testbeds/bluesky/node_modules/.ready ## install those servers (some minutes, 700 MB; npm, g++, postgresql)

tests/testbeds/bluesky/node_modules/.ready: tests/testbeds/bluesky/package-lock.json tests/testbeds/bluesky/install.sh
	@sh tests/testbeds/bluesky/install.sh

embeddings: setup ## install the optional scorer of sentence vectors (87 MB; docs/stance-extras.md)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements-embeddings.txt

stance-embeddings: embeddings ## fit that scorer's head to the invented posts (minutes)
	@$(BIN)/python -m analysis.stance.vector_head

test-embeddings: embeddings ## run the tests of the scorer of sentence vectors
	@$(BIN)/pytest -q -m embeddings tests/test_stance_embeddings.py

lint: setup ## check style, types and the direction of imports
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports

bench: setup ## measure speed, as ratios within one run (BENCH_LARGE=1: a thousand to ten million posts)
	@$(BIN)/python -m benchmarks

stance-model: setup ## fit the stance model to the invented posts again (two minutes)
	@$(BIN)/aftershock stance build

eval-stance: setup ## measure the stance score: make eval-stance FILE=labelled.ndjson [JSON=1]
	@$(BIN)/aftershock stance evaluate $(FILE) $(if $(JSON),--json)

demo: setup ## show the dashboard with invented posts
	@$(BIN)/aftershock demo --port $(PORT)

collect: setup ## run every collector that can run now
	@$(BIN)/aftershock collect

score: setup ## score what has no score yet, then rebuild the charts' figures
	@$(BIN)/aftershock score

export: setup ## write posts and series of a case: make export CASE=duolingo BUCKET=week
	@mkdir -p exports
	@$(BIN)/aftershock export posts --case $(CASE) -o exports/$(CASE)-posts.csv
	@$(BIN)/aftershock export series --case $(CASE) --bucket $(BUCKET) -o exports/$(CASE)-series-$(BUCKET).csv

dashboard: setup ## open the dashboard on what is in the store
	@$(BIN)/aftershock dashboard --port $(PORT)

schedule: setup ## print crontab lines that collect and score
	@$(BIN)/aftershock schedule show

lock: setup ## compile requirements*.txt anew from pyproject.toml
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check uv
	@$(BIN)/uv pip compile --quiet --upgrade --universal --generate-hashes --python-version 3.11 --group dev pyproject.toml -o requirements.txt --custom-compile-command "make lock"
	@$(BIN)/uv pip compile --quiet --upgrade --universal --generate-hashes --python-version 3.11 --group browser -c requirements.txt -o requirements-browser.txt --custom-compile-command "make lock"
	@$(BIN)/uv pip compile --quiet --upgrade --universal --generate-hashes --python-version 3.11 --group embeddings -c requirements.txt -o requirements-embeddings.txt --custom-compile-command "make lock"

clean: ## remove .venv, caches and the built demo; never the store
	@rm -rf .venv .demo build dist .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache .artifacts
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +
