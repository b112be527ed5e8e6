# Two commands: `make demo` sets everything up and runs the main job; `make test` passes the tests.
# `make coverage` runs the tests once more and lists the lines that none reaches; to trace lines takes half again.
# `make gpu` runs what waits for a CUDA device, in ten minutes, with what PYTHON has installed.
# Paths are relative, so that the repository may live under a path with spaces.

PYTHON ?= python3
VENV := .venv
PIP := $(VENV)/bin/python -m pip --disable-pip-version-check --quiet

.PHONY: demo test check coverage gpu clean

demo: $(VENV)/installed
	$(VENV)/bin/python -m lnegeom demo --out runs/demo

test: check
	$(VENV)/bin/python -m pytest -n 2

coverage: $(VENV)/installed-dev
	$(VENV)/bin/python -m pytest -n 2 --cov --cov-report=term:skip-covered

gpu:
	$(PYTHON) tests/benchmarks/on_gpu.py --out runs/gpu

check: $(VENV)/installed-dev
	$(VENV)/bin/python -m ruff format --check .
	$(VENV)/bin/python -m ruff check .
	$(VENV)/bin/python -m mypy
	$(VENV)/bin/lint-imports --no-cache

# An environment that an interrupted installation left behind is completed, not trusted.
$(VENV)/installed: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(PIP) install -c constraints.txt -e '.[all]'
	touch $@

$(VENV)/installed-dev: $(VENV)/installed
	$(PIP) install -c constraints.txt -e '.[all,dev]'
	touch $@

clean:
	rm -rf $(VENV) runs build dist *.egg-info .coverage .mypy_cache .pytest_cache .ruff_cache .hypothesis
