# Everything lives in .venv; nothing but Python 3.11+ and make is needed.
PYTHON ?= python3
BIN := .venv/bin
# Tests that use every dependency, without those that run for long.
FAST := arrays collapse compare data dependencies interactive kernels measurements metrics networks_kernels \
	own_sweeps public_names site streamed sweep sweep_file trials

# Packages are compiled by all cores, which pip would do with one; some ship templates that are no Python.
INSTALL := -m pip install --quiet --disable-pip-version-check --no-compile
COMPILE := -m compileall -qq -j 0

# Bytecode is kept, whatever the environment says: the tests, and a run with many workers, start a hundred programs,
# each of which would compile the whole package.
export PYTHONDONTWRITEBYTECODE :=

.PHONY: reproduce test test-all test-lowest quick-rows lint format bench site browser clean

reproduce: .venv/runtime  ## install, then the quick version of the whole comparison: runs/quick/report.html
	$(BIN)/kernel-collapse reproduce all --preset quick --out runs/quick

test: .venv/development browser lint  ## install, then every check and test
	OPENBLAS_NUM_THREADS=1 OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 --dist worksteal

test-all: .venv/development browser lint  ## those of every night too: CONTRIBUTING.md lists them
	OPENBLAS_NUM_THREADS=1 OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 --dist worksteal -m 'nightly or not nightly'

quick-rows: reproduce  ## keep the rows of runs/quick as those that the tests read
	$(BIN)/python tests/quick_rows.py runs/quick

test-lowest: .venv-lowest/development  ## the fast part of the tests, with the lowest versions that are allowed
	OPENBLAS_NUM_THREADS=1 OMP_NUM_THREADS=1 .venv-lowest/bin/python -m pytest -n 2 --dist loadfile -m 'not slow and not nightly' $(FAST:%=tests/test_%.py)

lint: .venv/development  ## style, types and spelling
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/codespell

format: .venv/development  ## mend what ruff can mend
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench: .venv/development  ## timings; never part of the tests
	$(BIN)/python benchmarks/kernels.py
	$(BIN)/python benchmarks/activations.py
	$(BIN)/python benchmarks/collapse.py
	$(BIN)/python benchmarks/features.py
	$(BIN)/python benchmarks/recorder.py
	$(BIN)/python benchmarks/adaptive.py
	$(BIN)/python benchmarks/convergence.py
	$(BIN)/python benchmarks/networks.py
	$(BIN)/python benchmarks/posterior.py
	$(BIN)/python benchmarks/mean_field.py
	$(BIN)/python benchmarks/sampled.py
	$(BIN)/python benchmarks/streamed.py
	$(BIN)/python benchmarks/deep_rfm.py

site: .venv/development  ## the documentation as pages: site/index.html
	$(BIN)/python -m sphinx -W --keep-going -q -b html docs site

browser:  # the report is tested in a real browser
	@sh tests/install_browser.sh

.venv/runtime: pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python $(INSTALL) -c constraints.txt -e '.[cli,networks]'
	$(BIN)/python $(COMPILE) .venv/lib || true
	touch $@

.venv/development: pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python $(INSTALL) -c constraints.txt -e '.[dev]'
	$(BIN)/python $(COMPILE) .venv/lib || true
	touch $@ .venv/runtime

.venv-lowest/development: pyproject.toml constraints-lowest.txt
	test -x .venv-lowest/bin/python || $(PYTHON) -m venv .venv-lowest
	.venv-lowest/bin/python $(INSTALL) -c constraints-lowest.txt -e '.[dev]'
	.venv-lowest/bin/python $(COMPILE) .venv-lowest/lib || true
	touch $@

clean:
	rm -rf .venv .venv-lowest runs site docs/api .mypy_cache .pytest_cache .ruff_cache .hypothesis
