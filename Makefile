# What people run here. Each target sets up what it needs in .venv by itself; `make help` lists them.

PYTHON ?= python3
CONFIG ?=
FUZZ_SECONDS ?= 60

VENV := .venv
BIN := $(VENV)/bin
VERSION := $(shell $(PYTHON) -c 'import sys; print("%d.%d" % sys.version_info[:2])' 2>/dev/null)

# What is installed, as stamp files: the agent, its tests and checks, its peers for benchmarks.
RUN := $(VENV)/ready-$(VERSION)-run
DEV := $(VENV)/ready-$(VERSION)-dev
BENCH := $(VENV)/ready-$(VERSION)-bench
FUZZ := $(VENV)/ready-$(VERSION)-fuzz
$(RUN): PACKAGE := .
$(DEV): PACKAGE := .[dev]
$(BENCH): PACKAGE := .[dev,bench]
$(FUZZ): PACKAGE := .[dev,fuzz]

# Real parts that some tests drive, as command:Debian-package. A test whose part is missing is skipped.
PARTS := chromium:chromium curl:curl dnsmasq:dnsmasq-base h2load:nghttp2-client haproxy:haproxy ip:iproute2 \
  javac:default-jdk-headless kubectl:kubernetes-client named:bind9 nginx:nginx-light node:nodejs npm:npm \
  nsupdate:bind9-dnsutils openssl:openssl promtool:prometheus systemd-analyze:systemd systemd-nspawn:systemd-container \
  tcpdump:tcpdump unbound:unbound wget:wget wrk:wrk
MISSING = for part in $(PARTS); do command -v $${part%:*} >/dev/null || echo $${part\#*:}; done

export PIP_DISABLE_PIP_VERSION_CHECK := 1

.DEFAULT_GOAL := help
.PHONY: help run test check lint e2e bench bench-all soak resilience fuzz docs pictures lock clean parts missing-packages

help: ## this list
	@sed -n 's/^\([a-z0-9-]*\):.*## \(.*\)/make \1\t\2/p' $(MAKEFILE_LIST) | expand -t 17
	@echo 'PYTHON=python3.12 chooses another interpreter (3.11 to 3.13).'

run: $(RUN) ## the agent with CONFIG=file; without it the demonstration
	@$(BIN)/nodeagent $(if $(CONFIG),run '$(CONFIG)',demo)

test: $(DEV) parts ## all tests
	$(BIN)/pytest

check: lint ## what a change must pass: format, lint, types, imports, fast tests
	$(BIN)/pytest -m 'not e2e'

lint: $(DEV)
	$(BIN)/ruff format --check
	$(BIN)/ruff check
	$(BIN)/mypy
	$(BIN)/lint-imports

e2e: $(DEV) parts ## the tests with real processes only
	$(BIN)/pytest -m e2e

bench: $(BENCH) ## the agent beside nginx, HAProxy and Envoy
	$(BIN)/python -m bench.compare

bench-all: $(BENCH) ## the same for every kind of load, with a summary: 20 minutes
	$(BIN)/python -m bench.compare --all

soak: $(DEV) ## the agent at half load while everything around it changes: 15 minutes
	$(BIN)/python -m bench.soak

resilience: $(BENCH) ## the same when endpoints are slow or fail, with pictures in build/resilience
	$(BIN)/python -m bench.resilience --svg build/resilience --json build/resilience/figures.json

fuzz: $(FUZZ) ## random bytes for every reader, FUZZ_SECONDS (60) each, guided by coverage
	$(BIN)/python -m tests.fuzz --seconds $(FUZZ_SECONDS)

docs: $(DEV) ## docs/configuration.md from the schema, docs/metrics.md from what is counted
	$(BIN)/python -m conf.reference > docs/configuration.md
	$(BIN)/python -m tests.nodeagent.telemetry.page > docs/metrics.md

pictures: $(DEV) ## docs/img, the dashboard of the demonstration as Chromium shows it
	$(BIN)/python -m tests.nodeagent.dashboard.pictures docs/img

parts:
	@for package in $$($(MISSING)); do \
	  echo "optional: some tests are skipped without $$package: apt-get install $$package"; done
	@[ -n "$$CONSUL" ] || command -v consul >/dev/null || \
	  echo 'optional: some tests are skipped without Consul: export CONSUL="$$(.ci/get-consul)"'

missing-packages:
	@$(MISSING)

$(RUN) $(DEV) $(BENCH) $(FUZZ): pyproject.toml constraints.txt | $(VENV)/ready-$(VERSION)
	@echo 'Installing $(PACKAGE) into $(VENV), in the versions of constraints.txt'
	@$(BIN)/pip install --quiet -c constraints.txt hatchling editables
	@$(BIN)/pip install --quiet -c constraints.txt --no-build-isolation -e '$(PACKAGE)'
	@touch $@

# From scratch when the last one was another interpreter's, or was left half made.
$(VENV)/ready-$(VERSION):
	@command -v '$(PYTHON)' >/dev/null || { \
	  echo 'There is no $(PYTHON): apt-get install python3 python3-venv' >&2; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
	  echo '$(PYTHON) is Python $(VERSION), 3.11 or newer is needed: make PYTHON=python3.11 ...' >&2; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || { \
	  echo '$(PYTHON) has no venv module: apt-get install python3-venv' >&2; exit 1; }
	@$(BIN)/pip --version 2>/dev/null | grep -qF '(python $(VERSION))' || $(PYTHON) -m venv --clear $(VENV)
	@touch $@

lock: ## constraints.txt anew, from what is current
	$(PYTHON) -m venv --clear build/lock
	build/lock/bin/pip install --quiet hatchling editables
	build/lock/bin/pip install --quiet --no-build-isolation '.[dev,bench,fuzz]'
	{ echo '# Every version that make installs; written by make lock.'; \
	  build/lock/bin/pip freeze --exclude nodeagent; } > build/constraints.txt
	mv build/constraints.txt constraints.txt
	rm -rf build/lock

clean: ## remove .venv and everything that was generated
	rm -rf $(VENV) build dist .mypy_cache .ruff_cache .hypothesis .import_linter_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
