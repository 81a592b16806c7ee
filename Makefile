# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
#
# `make demo` and `make test` do all their set-up. PYTHON chooses the interpreter (3.11 or newer).

PYTHON ?= python3

.DEFAULT_GOAL := help
.PHONY: help demo first-run test lint unit build shell lock release clean

help: ## this list
	@sed -n 's/^\([a-z-]*\):[^#]*## \(.*\)/make \1	\2/p' $(MAKEFILE_LIST)

demo: ## the main job against one simulated cluster; ARGS="--check" is handed to ansible-playbook
	@$(PYTHON) tests/tools/demo.py $(ARGS)

first-run: ## the main job once on a real cluster, with a recording; ARGS="--resource-group … --cluster …" or --help
	@$(PYTHON) tests/tools/first_run.py $(ARGS)

test: ## every gate; GATES="ruff unit" chooses some, `make test GATES=list` names them
	@$(PYTHON) tests/tools/gates.py $(GATES)

lint: ## the quick gates: ruff, mypy, imports, ansible-lint, docs, changelog
	@$(PYTHON) tests/tools/gates.py ruff mypy imports ansible-lint docs changelog

unit: ## the unit tests
	@$(PYTHON) tests/tools/gates.py unit

build: ## the collection's tarball, in build/
	@$(PYTHON) tests/tools/gates.py build

shell: ## a shell in a sandbox with one cluster: ansible-playbook, kubectl's kubeconfig, everything set
	@$(PYTHON) tests/tools/demo.py --shell

lock: ## write the exact versions of all tools anew into tests/constraints.txt
	@$(PYTHON) tests/tools/lock.py

release: ## VERSION=X.Y.Z: version, changelog, tarball, and a look into it; commits and uploads nothing
	@$(PYTHON) tests/tools/release.py $(VERSION)

clean: ## remove what make wrote into this checkout (the caches at home stay)
	rm -rf build .dev .mypy_cache .ruff_cache .pytest_cache .hypothesis .ansible tests/output

-include tests/peers.mk
