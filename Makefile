# Everything runs in .venv, which the first target that needs it makes.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed

.PHONY: demo test test_unit test_integration lint fmt clean

demo: $(STAMP)
	@$(BIN)/qmig demo

test: $(STAMP)
	$(BIN)/pytest

test_unit: $(STAMP)
	$(BIN)/pytest tests/unit

test_integration: $(STAMP)
	$(BIN)/pytest tests/integration

lint: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

fmt: $(STAMP)
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

clean:
	rm -rf $(VENV)

$(STAMP): pyproject.toml install.sh
	@PYTHON=$(PYTHON) VENV=$(VENV) ./install.sh
	@touch $@
