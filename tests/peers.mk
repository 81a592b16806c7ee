# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
#
# What is compared with others, broken on purpose, and measured; of it only `witness` is part of `make test`.

.PHONY: witness against peers clients faults fuzz bench reaction imports matrix docs pictures workload

witness: ## the sandbox's answers beside what was recorded of Azure: one table; RECORDING=FILE reads another recording
	@$(PYTHON) tests/tools/inside.py test tests/witness/witness.py $(if $(RECORDING),--recording "$(abspath $(RECORDING))") $(ARGS)

against: ## the tests of tests/findings.yml with an older product: how each fails; ARGS="--kind unit", ARGS="ROW …"
	@$(PYTHON) tests/tools/inside.py test tests/tools/against.py $(ARGS)

peers: ## our node_pool and azure.azcollection's through the same cases; ARGS="CASE …", ARGS=--ours
	@$(PYTHON) tests/tools/inside.py test tests/peers/peers.py $(ARGS)

clients: ## the az CLI, unmodified, against the sandbox, in turn with our modules
	@$(PYTHON) tests/tools/inside.py test tests/clients/clients.py $(ARGS)

faults: ## every request of the main job broken in every way; ARGS="REQUEST/FAULT …"
	@$(PYTHON) tests/tools/inside.py test tests/faults/matrix.py $(ARGS)

bench: ## what a fleet and what a large cluster cost, beside azure.azcollection, az and kubectl; ARGS="ROW …"
	@$(PYTHON) tests/tools/inside.py test bench/fleet.py $(ARGS)
	@$(if $(ARGS),:,$(PYTHON) tests/tools/inside.py demo bench/reaction.py)

reaction: ## from a change in the cluster to our reaction, beside kubernetes.core's and kubectl wait's; ARGS="--runs N"
	@$(PYTHON) tests/tools/inside.py demo bench/reaction.py $(ARGS)

both: ## the integration tests once more, each module in a process of its own
	@AKS_GPU_IN_PROCESS=never $(PYTHON) tests/tools/gates.py integration

imports: ## what a task loads and installs, beside azure.azcollection's
	@$(PYTHON) tests/tools/inside.py demo bench/imports.py $(ARGS)

fuzz: ## generated pools and options through the planner, 10,000 cases and more
	@$(PYTHON) tests/tools/inside.py test tests/fuzz/fuzz.py $(ARGS)

matrix: ## ansible-core 2.16 to 2.21, the oldest libraries, other Kubernetes releases; ARGS="core-2.16 …", ARGS=list
	@$(PYTHON) tests/tools/matrix.py $(ARGS)

docs: ## the site of docs/ with the reference of every module and role, in build/docs/html
	@$(PYTHON) tests/tools/docs.py

pictures: ## the evidence report of a fleet in the sandbox, as docs/ shows it (needs a Chromium)
	@$(PYTHON) tests/tools/pictures.py

workload: ## the role mnist's training script, really trained with PyTorch (3 GB, once); ARGS="-k cpu -s"
	@$(PYTHON) tests/tools/inside.py workload -m pytest -c tests/workload/pytest.ini tests/workload $(ARGS)
