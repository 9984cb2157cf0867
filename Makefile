# Everything a person does with Rowdock. Needed beforehand: make and Python 3.11 or newer.

PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
STAMP  := $(VENV)/.stamp
FAULT_ROWS ?= 100000
FAULTS     ?= tests/faults
MODEL_MINUTES ?= 20
DOCUMENT_MINUTES ?= 20
TESTS      ?= -m "not faults or pick"
# Packages without IO; the workbook's child process in the middle of them is tried by the integration tests.
PURE       := */domain/*,services/parser/planning/*,services/parser/formats/*

# Variables given on make's command line reach the programs as environment: BROKER, SCALE and ROWS need nothing here.

.DEFAULT_GOAL := help
.PHONY: help setup up down status demo test test-unit models coverage faults bench bench-large bench-rare bench-sync bench-uploads bench-scaling document soak pictures lint format docs lock clean

help: ## Show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-11s %s\n", $$1, $$2 }' $(firstword $(MAKEFILE_LIST))
	@echo
	@echo 'Times are those of two cores; whatever comes first sets up .venv, too.'
	@echo 'Variables: SCALE="validator=2 writer=2"  BROKER=kafka|tansu  ROWS=500000  ONLY=fairness  TESTS="tests/unit -k csv"'

setup: $(STAMP) ## Create .venv with everything Rowdock needs (~2 min)

$(STAMP): requirements.lock pyproject.toml clients/python/pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
	  || { echo "Python 3.11 or newer is needed; $(PYTHON) is not. Say which: make PYTHON=python3.12 …"; exit 1; }
	@test -x $(BIN)/python || { echo "Creating $(VENV) …"; $(PYTHON) -m venv $(VENV); } \
	  || { rm -rf $(VENV); echo "The venv module is missing. On Debian and Ubuntu: apt install python3-venv"; exit 1; }
	@echo "Installing $$(grep -c '^[a-zA-Z]' requirements.lock) packages (a minute or two, this once) …"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --requirement requirements.lock
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --editable . --editable clients/python
	@touch $@

up: $(STAMP) ## Start servers and services, leave them running, write .local/stack.json (~35 s)
	@$(BIN)/python -m deploy.local up

down: $(STAMP) ## Stop what `make up` started; the data stays (~10 s)
	@$(BIN)/python -m deploy.local down

status: $(STAMP) ## Show what runs, and where (~1 s)
	@$(BIN)/python -m deploy.local status

demo: $(STAMP) ## Start everything, import a real file, show what happens, stop (~35 s)
	@$(BIN)/python -m deploy.local.demo

test: $(STAMP) ## Run all tests, on real servers, with a few of the faults (~45 min)
	$(BIN)/python -m pytest $(TESTS)

test-unit: $(STAMP) ## Run the tests that need no servers (~5 min)
	$(BIN)/python -m pytest tests/unit

models: $(STAMP) ## Search for imports that end otherwise than a plain model says, for MODEL_MINUTES (20), other ones each time
	MODEL_SECONDS=$$(($(MODEL_MINUTES) * 15)) $(BIN)/python -m pytest -v tests/models/test_modes.py

document: $(STAMP) ## Search for answers that are not as the OpenAPI document says, for DOCUMENT_MINUTES (20), by other requests each time
	DOCUMENT_SECONDS=$$(($(DOCUMENT_MINUTES) * 60)) $(BIN)/python -m pytest -v tests/e2e/test_document.py

coverage: $(STAMP) ## Branches of the pure packages that the tests without servers cover: at least 95 % (~4 min)
	$(BIN)/python -m pytest tests/unit --cov --cov-report=
	$(BIN)/coverage report --include='$(PURE)' \
	  --omit='*/formats/excel/format.py,*/formats/excel/process/*' --fail-under=95

faults: $(STAMP) ## Kill and starve everything, everywhere, with FAULT_ROWS rows a run (~75 min)
	FAULT_ROWS=$(FAULT_ROWS) $(BIN)/python -m pytest -v $(FAULTS)

pictures: $(STAMP) ## Draw docs/img: every dashboard, from its JSON and live data of an own stack under load (~5 min)
	@$(BIN)/python -m deploy.monitoring.pictures

bench: $(STAMP) ## Measure speed, every mode, small imports, webhooks, and how fairly large and small ones share the machine (~50 min)
	@$(BIN)/python -m bench

bench-large: $(STAMP) ## Memory and speed of reading LARGE_MB (1024) MiB in each format that is streamed (~15 min)
	@$(BIN)/python -m bench --only large

bench-rare: $(STAMP) ## Speed of importing LARGE_MB (1024) MiB of rare spellings beside ordinary ones (~10 min)
	@$(BIN)/python -m bench --only rare

bench-sync: $(STAMP) ## A sync of 990,000 rows with 1,000,000 live records (ROWS): right, and in bounded memory (~5 min)
	@$(BIN)/python -m bench --only large-sync

bench-uploads: $(STAMP) ## Memory of the gateway while eight files of LARGE_MB (1024) MiB arrive at once (~5 min)
	@$(BIN)/python -m bench --only large-uploads

bench-scaling: $(STAMP) ## How time, memory, storage grow with rows and ended runs, and what replicas bring (SCALING="rows=10000 runs replicas"; ~30 min)
	@$(BIN)/python -m bench --only scaling

soak: $(STAMP) ## A mixed load with hostile clients for MINUTES (60): does anything grow, do small imports stay fast
	@$(BIN)/python -m bench --only soak

lint: $(STAMP) ## Check style, types, architecture (~1 min)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/pyright
	$(BIN)/lint-imports
	@! grep -rn --include='*.py' '\.save(' libs services \
	  || { echo 'State changes by compare-and-set only: no .save( in libs and services.'; exit 1; }

format: $(STAMP) ## Format the code and sort its imports (~1 s)
	$(BIN)/ruff check --fix --select I .
	$(BIN)/ruff format .

docs: $(STAMP) ## Generate from the code: OpenAPI, AsyncAPI, the client's models, metrics, dashboards, alerts (~10 s)
	@$(BIN)/python -m deploy.documents

lock: $(STAMP) ## Choose the newest allowed versions and write requirements.lock (~10 s)
	$(BIN)/uv pip compile --quiet --upgrade --universal --python-version 3.11 --extra dev \
	  --custom-compile-command 'make lock' --output-file requirements.lock pyproject.toml clients/python/pyproject.toml

clean: ## Stop the stack and delete its data, .venv and every generated file (~5 s)
	@test ! -x $(BIN)/python || $(BIN)/python -m deploy.local down || true
	rm -rf $(VENV) .local .pytest_cache .ruff_cache .hypothesis .coverage build dist bench/out bench/data *.egg-info
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
