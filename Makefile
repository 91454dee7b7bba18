# minicontainer. `make run` is all that one needs; `make help` tells the rest.
# What is told on the way goes to standard error: the output of `make run` is the container's.

# The system's Python first: other users may run it too, and it starts faster than one of a version manager.
ifeq ($(origin PYTHON),undefined)
PYTHON := $(or $(shell for python in /usr/bin/python3 python3; do \
  $$python -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $$python && break; done),python3)
endif
# Where the programs of ./rootfs come from: busybox, or host where there is no busybox.
FROM ?= $(if $(shell command -v busybox),busybox,host)

VENV := .venv
SUDO := $(if $(filter-out 0,$(shell id -u)),$(shell command -v sudo))
LINK := /usr/local/bin/minicontainer
MAKEFLAGS += --no-print-directory
export PYTHON

# The virtual environment knows the folder that it was made in. If this is another one, make it anew.
ifneq ($(shell cat $(VENV)/made-in 2>/dev/null),$(CURDIR))
.PHONY: $(VENV)/made-in
endif

.PHONY: help
help: ## this list
	@sed -n 's/^\([a-z-]*\):.*## /  make \1\t/p' Makefile | expand -t 20

.PHONY: run
run: install rootfs/bin/sh ## a shell in a container; what is missing is installed first
	@$(SUDO) minicontainer run ./rootfs /bin/sh

.PHONY: test
test: test-tools install ## all tests, linters and type checks, with a summary
	@$(VENV)/bin/python tests/suite.py

.PHONY: test-vm
test-vm: test-tools install ## only the tests that need a kernel with cgroup version 2, in the lab's virtual machine
	@$(VENV)/bin/python tests/suite.py vm

.PHONY: lint
lint: $(VENV)/dev ## linters and type checks
	@$(VENV)/bin/python tests/suite.py lint

.PHONY: bench
bench: install ## compare the time to start a container with other tools'
	@$(SUDO) $(VENV)/bin/python tests/bench.py

.PHONY: lessons
lessons: test-tools install ## try each lesson's check and attack on everything: docs/lessons.md
	@$(SUDO) $(VENV)/bin/python -m tests.lessons.matrix

.PHONY: rootfs
rootfs: install ## fill ./rootfs (FROM=host: with this machine's own programs)
	@$(VENV)/bin/minicontainer rootfs build rootfs --from $(FROM)

rootfs/bin/sh: | install
	@$(VENV)/bin/minicontainer rootfs build rootfs --from $(FROM) >&2

.PHONY: install
install: system-packages $(VENV)/made-in $(VENV)/compiled ## the packages, the virtual environment, and the `minicontainer` command
	@[ "$$(readlink $(LINK))" = "$(CURDIR)/$(VENV)/bin/minicontainer" ] || { \
	  echo "Linking $(LINK)" >&2 && $(SUDO) ln -sfn "$(CURDIR)/$(VENV)/bin/minicontainer" $(LINK); }

.PHONY: system-packages
system-packages:
	@scripts/install-system-packages

.PHONY: test-tools
test-tools: $(VENV)/dev
	@scripts/install-system-packages tests

# The start-up scripts that pip writes import `re`, 6 ms, to take .exe off their name. -I: nothing from the environment
# or from the folder that one happens to be in gets into a program that runs as root.
define pip-install
$(VENV)/bin/python -m pip install --quiet --disable-pip-version-check --use-pep517 --editable "$(1)"
@sed -i -e '1s/python[0-9.]*$$/& -I/' -e '/^import re$$/d' -e '/re\.sub(/d' $(VENV)/bin/minicontainer*
@rm -f $(VENV)/lib/python*/site-packages/distutils-precedence.pth # setuptools' word in every start of Python: 1 ms
endef

$(VENV)/made-in: pyproject.toml | system-packages
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
	  echo "$(PYTHON) is older than Python 3.11; name a newer one: make $(MAKECMDGOALS) PYTHON=python3.12" >&2; exit 1; }
	@echo "Making the virtual environment $(VENV)" >&2
	@$(PYTHON) -m venv --clear $(VENV)
	@$(call pip-install,.)
	@echo "$(CURDIR)" >$@

$(VENV)/compiled: $(VENV)/made-in $(shell find minicontainer -name '*.py')
	@$(VENV)/bin/python -m compileall -q minicontainer
	@touch $@

$(VENV)/dev: $(VENV)/made-in
	@echo "Installing the test tools" >&2
	@$(call pip-install,.[dev])
	@touch $@

.PHONY: clean
clean: ## remove what was built here; system packages stay
	@[ "$$(readlink $(LINK))" != "$(CURDIR)/$(VENV)/bin/minicontainer" ] || $(SUDO) rm $(LINK)
	@git clean -qfdX rootfs
	@rm -rf $(VENV) dist build .pytest_cache .mypy_cache .ruff_cache
