# The two commands: `make demo` and `make test`. Everything is installed into .venv, once.
PYTHON ?= $(shell command -v python3.11 || command -v python3)
VENV ?= .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check --no-input
# Tests use few threads each, so that they can run beside each other; and they start many processes, which
# would compile all modules anew where the shell forbids bytecode.
TEST_ENV := OMP_NUM_THREADS=1 MKL_NUM_THREADS=1 PYTHONDONTWRITEBYTECODE=
JOBS ?= $(shell n=$$(getconf _NPROCESSORS_ONLN 2>/dev/null || echo 2); echo $$((n < 4 ? n : 4)))
TESTS ?= tests
PYTEST ?=

.PHONY: help demo install test test-slow lint types format docs clean

help:
	@echo "make demo     train, preview and judge a small sweep on the embedded base model"
	@echo "make test     run the tests               make test TESTS=tests/store PYTEST='-k table'"
	@echo "make test-slow  what takes minutes each: full-size models, kills (see the marker slow)"
	@echo "make lint     ruff, check only              make format rewrites"
	@echo "make types    mypy"
	@echo "make docs     write docs/parameters.md anew"
	@echo "make clean    remove $(VENV) and caches; results stay"

demo: install
	@$(BIN)/lora-lab demo

install: $(VENV)/.installed

# torch goes first and alone: it is most of the download, and an interrupted install keeps it.
$(VENV)/.torch: requirements.txt
	@test -n "$(PYTHON)" || { echo "Python 3.11 or newer is needed: python3.11 and python3 are not there"; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
		|| { echo "Python 3.11 or newer is needed, $(PYTHON) is older: make PYTHON=/path/to/python3.11"; exit 1; }
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@echo "installing into $(VENV), once; torch first (hundreds of MB)"
	@$(PIP) install --quiet $$(grep '^torch==' requirements.txt)
	@touch $@

$(VENV)/.installed: requirements.txt pyproject.toml $(VENV)/.torch
	@echo "installing what lora_lab runs with"
	@$(PIP) install --quiet --requirement requirements.txt
	@$(PIP) install --quiet --no-deps --editable .
	@touch $@

$(VENV)/.dev: requirements-dev.txt $(VENV)/.installed
	@echo "installing what the tests need"
	@$(PIP) install --quiet --requirement requirements-dev.txt
	@touch $@

test: $(VENV)/.dev
	$(TEST_ENV) $(BIN)/python -m pytest -n $(JOBS) --dist loadscope $(PYTEST) $(TESTS)

# Two modules at a time, but full-size models one after another: each takes up to 15 GB (the group in tests/conftest.py).
test-slow: $(VENV)/.dev
	$(TEST_ENV) $(BIN)/python -m pytest -m "slow and not gpu" -n 2 --dist loadgroup \
		$(PYTEST) $(TESTS)

lint: $(VENV)/.dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

format: $(VENV)/.dev
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

docs: $(VENV)/.dev
	$(BIN)/python docs/make_parameters.py
	$(BIN)/python -m mkdocs build --strict --quiet
	@echo "the documentation is in site/index.html"

types: $(VENV)/.dev
	$(BIN)/mypy

clean:
	rm -rf $(VENV) .pytest_cache .mypy_cache .ruff_cache
