# kdns: what people do here, one line each. The Python is `python3`, or the one in PYTHON; it must be 3.11 or newer.
PY := .venv/bin/python

# How pytest spreads the tests over this machine's cores (tests/conftest.py), and what it prints.
PYTEST := PYTHONDONTWRITEBYTECODE= $(PY) -m pytest -n auto --dist loadfile --no-loadscope-reorder --durations=10 -q

.PHONY: run lab test quick fuzz lint pictures bench
run: .venv/installed.run
	@$(PY) -m kdns demo
lab: .venv/installed.run
	@$(PY) -m kdns lab run $(ARGS)
# Everything; as root, in about as much time as a coffee takes.
test: .venv/installed.test lint
	$(PYTEST)
# What to run before each commit: all that needs no kernel, no root and no other process.
quick: .venv/installed.test lint
	$(PYTEST) -m "not kernel and not e2e and not heavy"
# The properties, with new examples for so many seconds: make fuzz TIME=3600.
TIME := 600
fuzz: .venv/installed.test
	$(PY) -m tests.fuzz $(TIME) $(ARGS)
lint: .venv/installed.test
	$(PY) -m ruff check . && $(PY) -m ruff format --check . && $(PY) -m mypy --strict && .venv/bin/lint-imports
# The screenshots of the status pages in the docs; those of the lab need root.
pictures: .venv/installed.test
	KDNS_PICTURES=docs/pictures $(PY) -m pytest -q tests/status/test_browser.py tests/status/test_lab.py
bench: .venv/installed.run
	@$(PY) -m bench $(ARGS)

# What is installed follows pyproject.toml: the stamp is older, so it is installed again.
.venv/installed.%: pyproject.toml .ci/venv $(PY)
	@.ci/venv $*
# Without its Python (an upgrade took it, say) a .venv counts as not installed.
$(PY): ;
