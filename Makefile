# Everything runs in .venv, which the first target that needs it makes.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
INSTALL := PYTHON=$(PYTHON) VENV=$(VENV) ./install.sh
# The packages of the Milvus servers conflict: each server has its own folder.
MILVUS := $(foreach server,lite lite-2.5 standalone,$(VENV)/milvus/.$(server))
# Tests mostly wait for servers: four processes keep two cores busy. One process runs all tests of a file, so they share
# their servers; tests/conftest.py has the order of the files.
JOBS ?= 4
PARALLEL := -n $(JOBS) --dist loadfile --no-loadscope-reorder
# A dead link or anchor is an error (not with --quiet). The variable silences the theme's notice about MkDocs 2.
MKDOCS := NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict
# The browser tests use the distribution's Chromium; promtool checks the alerts.
BROWSER := $(VENV)/.browser
PROMTOOL := $(VENV)/.promtool
DIST ?= dist
NOTES := build/release-notes.md

.PHONY: demo test test_unit test_model test_integration test_faults lint fmt docs hooks constraints newest system clean \
	dist release_check release_notes

demo: $(STAMP) $(VENV)/milvus/.lite
	@$(BIN)/qmig demo

test: $(STAMP) $(MILVUS) $(BROWSER) $(PROMTOOL)
	$(BIN)/pytest $(PARALLEL)

test_unit: $(STAMP) $(PROMTOOL)
	$(BIN)/pytest tests/unit tests/model

# Random schedules of the ledger's protocol, others each time: make test_model EXAMPLES=2000
test_model: $(STAMP)
	$(if $(EXAMPLES),EXAMPLES=$(EXAMPLES)) $(BIN)/pytest --timeout 0 tests/model

test_integration: $(STAMP)
	$(BIN)/pytest $(PARALLEL) tests/integration

# Random faults in a random order: make test_faults MINUTES=5 SEED=123
test_faults: $(STAMP) $(VENV)/milvus/.standalone
	$(BIN)/python -m tests.faults $(if $(MINUTES),--minutes $(MINUTES)) $(if $(SEED),--seed $(SEED))

# The checks are in .pre-commit-config.yaml; with `make hooks` git runs them before each commit.
lint: $(STAMP)
	$(BIN)/pre-commit run --all-files

hooks: $(STAMP)
	$(BIN)/pre-commit install

fmt: $(STAMP)
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

# The site of docs/, in site/.
docs: $(STAMP)
	$(MKDOCS) --site-dir site

clean:
	rm -rf $(VENV) site

# Pin the packages for qmig, its tests and its image: the newest within the bounds of pyproject.toml,
# for every supported Python.
constraints: $(STAMP)
	$(BIN)/uv pip compile --quiet --upgrade --universal --python-version 3.11 --generate-hashes --all-extras \
		--custom-compile-command "make constraints" --output-file constraints.txt pyproject.toml

# Use the newest packages instead of those in constraints.txt, until the next `make clean`.
newest: $(STAMP)
	$(BIN)/pip install --quiet --upgrade --upgrade-strategy eager --editable '.[dev]'

# Install what only root can install; as root, the other targets do this themselves.
system:
	./install.sh redis-server

dist: $(STAMP)
	$(BIN)/python -m build --outdir $(DIST)

# Check that the branch $(BRANCH) may be released: its version, its changelog, and the branch that it starts from.
release_check: $(STAMP)
	@$(BIN)/python -m tools.release check '$(BRANCH)'

release_notes: $(STAMP)
	@mkdir -p $(dir $(NOTES))
	$(BIN)/python -m tools.release notes > $(NOTES)

$(STAMP): pyproject.toml constraints.txt install.sh
	@$(INSTALL)
	@touch $@

$(VENV)/milvus/.%: tests/milvus/requirements-%.txt $(STAMP)
	@mkdir -p $(@D)
	@$(BIN)/pip install --quiet --upgrade --no-deps --target $(VENV)/milvus/$* --requirement $< || \
		echo "no Milvus server '$*' for this platform; its tests are skipped" >&2
	@touch $@

$(BROWSER): $(STAMP)
	@$(INSTALL) chromium || echo "no Chromium; the tests in a browser are skipped" >&2
	@touch $@

$(PROMTOOL): $(STAMP)
	@$(INSTALL) promtool || echo "no promtool; two tests of the alerts are skipped" >&2
	@touch $@
