# Everything runs in .venv, which the first target that needs it makes.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
# The packages of the Milvus servers conflict: each gets a folder of its own.
MILVUS := $(foreach server,lite lite-2.5 standalone,$(VENV)/milvus/.$(server))
# Tests mostly wait for servers: two cores are busy with four processes. A file is one process' own, so its tests share
# what they have started; files come in the order of tests/conftest.py.
JOBS ?= 4
PARALLEL := -n $(JOBS) --dist loadfile --no-loadscope-reorder
# The tests in a browser take the distribution's.
BROWSER := $(VENV)/.browser

.PHONY: demo test test_unit test_integration test_faults lint fmt clean

demo: $(STAMP) $(VENV)/milvus/.lite
	@$(BIN)/qmig demo

test: $(STAMP) $(MILVUS) $(BROWSER)
	$(BIN)/pytest $(PARALLEL)

test_unit: $(STAMP)
	$(BIN)/pytest tests/unit

test_integration: $(STAMP)
	$(BIN)/pytest $(PARALLEL) tests/integration

# Random faults in a random order: make test_faults MINUTES=5 SEED=123
test_faults: $(STAMP)
	$(BIN)/python -m tests.faults $(if $(MINUTES),--minutes $(MINUTES)) $(if $(SEED),--seed $(SEED))

lint: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

fmt: $(STAMP)
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

clean:
	rm -rf $(VENV)

$(STAMP): pyproject.toml install.sh
	@PYTHON=$(PYTHON) VENV=$(VENV) ./install.sh
	@touch $@

$(VENV)/milvus/.%: tests/milvus/requirements-%.txt $(STAMP)
	@mkdir -p $(@D)
	@$(BIN)/pip install --quiet --upgrade --no-deps --target $(VENV)/milvus/$* --requirement $< || \
		echo "no Milvus server '$*' for this platform; its tests are skipped" >&2
	@touch $@

$(BROWSER): $(STAMP)
	@command -v chromium >/dev/null || ./install.sh chromium || \
		echo "no Chromium; the tests in a browser are skipped" >&2
	@touch $@
