# kdns: what people do here, one line each. The Python is `python3`, or the one in PYTHON; it must be 3.11 or newer.
PY := .venv/bin/python

.PHONY: run lab test lint bench
run: .venv/installed.run
	@$(PY) -m kdns demo
lab: .venv/installed.run
	@$(PY) -m kdns lab run $(ARGS)
test: .venv/installed.test lint
	$(PY) -m pytest
lint: .venv/installed.test
	$(PY) -m ruff check . && $(PY) -m ruff format --check . && $(PY) -m mypy --strict && .venv/bin/lint-imports
bench: .venv/installed.run
	@$(PY) -m bench $(ARGS)

# What is installed follows pyproject.toml: the stamp is older, so it is installed again.
.venv/installed.%: pyproject.toml .ci/venv $(PY)
	@.ci/venv $*
# Without its Python (an upgrade took it, say) a .venv counts as not installed.
$(PY): ;
