# make install: .venv, with the command seqbench. make run: the comparison in a few minutes. make test: the tests.
# make check: style and types. make help: this.
# make faults: kills, disk errors, damaged files, hostile servers, by lot, for MINUTES (10).
# make oracles: tests of the modern models against other people's packages, in an environment beside .venv.
# make cluster: tests on Ray clusters of this machine; SMALLEST=1: only those that continuous integration runs.
# make answers: every table and figure of results/, the ledger, and the copies of them in README.md and results/README.md, from the rows.
# On Windows use WSL, or the commands below by hand. TORCH_BACKEND=cpu, cu128, … or TORCH_INDEX=<URL>: another torch.

PYTHON ?= python3
BIN := .venv/bin
INSTALLED := .venv/installed
export PIP_DISABLE_PIP_VERSION_CHECK := 1
# Where Linux has no NVIDIA driver, torch's CPU build is taken: 0.2 GB instead of 3. uv knows where each build lies.
TORCH_BACKEND ?= $(shell test "$$(uname -s)" = Linux && ! test -e /dev/nvidiactl && echo cpu)

.PHONY: install run test check faults cluster oracles answers speed speed-report speed-compare speed-history clean help

# make speed: the benchmarks of bench/speed on the present sources. speed-compare BASE=COMMIT: what changed since.
# speed-history: over the commits of the history, resumable. speed-report: all of it as a site, in .cache/asv-html.
# BENCH chooses benchmarks by a regular expression; on a GPU say LAUNCH=spawn. Nothing else should run meanwhile.
MACHINE ?= $(shell uname -n)
BENCH ?= .
LAUNCH ?= auto
COMMITS ?= 25
ASV_RUN := --machine $(MACHINE) --bench '$(BENCH)' --launch-method $(LAUNCH)
ASV_ENV := $(if $(TORCH_INDEX),PIP_EXTRA_INDEX_URL=$(TORCH_INDEX)) PIP_DISABLE_PIP_VERSION_CHECK=1

# Processes that test: one more than there are cores, for a test in five waits for other processes.
SIDE_BY_SIDE ?= $(shell echo $$(($$(getconf _NPROCESSORS_ONLN) + 1)))

install: $(INSTALLED)

run: $(INSTALLED)
	$(BIN)/seqbench run results/quick --afresh --figure --device cpu; code=$$?; \
		$(BIN)/seqbench report results/quick && exit $$code   # the page, even where a run failed

test: $(INSTALLED)   # compiled tests are kept, whatever the user's setting is: four processes would each compile all of them
	PYTHONDONTWRITEBYTECODE= $(BIN)/python -m pytest -n $(SIDE_BY_SIDE) --maxprocesses 5 --dist loadfile --no-loadscope-reorder

check: $(INSTALLED)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	mkdir -p .cache && ln -sfn .. .cache/seqbench
	MYPYPATH=.cache $(BIN)/mypy --namespace-packages --explicit-package-bases \
		-p seqbench.bench -p seqbench.tasks -p seqbench.models

# MINUTES; KIND chooses one kind of fault, and SEED repeats one of its trials; RECORD=1 writes results/faults.md.
MINUTES ?= 10
faults: .cache/faults-installed
	$(BIN)/python tests/faults/campaign.py --minutes $(MINUTES) $(if $(KIND),--kind $(KIND)) $(if $(SEED),--seed $(SEED)) \
		$(if $(RECORD),--record)

.cache/faults-installed: $(INSTALLED)
	@mkdir -p .cache
	$(BIN)/python -m pip install -q --no-build-isolation -e ".[faults]"
	@touch $@

oracles: .cache/oracles/installed
	.cache/oracles/bin/python -m pytest tests/oracles

cluster: .cache/cluster-installed
	$(BIN)/python -m pytest tests/cluster --durations 10 $(if $(SMALLEST),-m smallest)

.cache/cluster-installed: $(INSTALLED)
	@mkdir -p .cache
	$(BIN)/python -m pip install -q "seqbench[ray]"   # seqbench is there: this looks for its extra only
	@touch $@

answers: $(INSTALLED)
	$(BIN)/python -m seqbench.bench.evidence.answers

speed: $(INSTALLED) .cache/asv-machine-$(MACHINE)
	$(BIN)/asv run --environment "existing:$(CURDIR)/$(BIN)/python" --set-commit-hash $$(git rev-parse HEAD) $(ASV_RUN)

speed-compare: $(INSTALLED) .cache/asv-machine-$(MACHINE)
	@test -n "$(BASE)" || { echo "make speed-compare: BASE=COMMIT is needed, what to compare with"; exit 2; }
	$(ASV_ENV) $(BIN)/asv continuous --factor 1.05 $(ASV_RUN) $(BASE) HEAD

speed-history: $(INSTALLED) .cache/asv-machine-$(MACHINE)
	@first=$$(git log --reverse --format=%H --diff-filter=A -- requirements.lock | head -1); \
		git rev-list --reverse $$first..HEAD -- bench tasks models requirements.lock | awk -v most=$(COMMITS) \
		'{ all[NR] = $$0 } END { n = NR < most ? NR : most; \
		for (i = 0; i < n; i++) print all[n < 2 ? NR : 1 + int(i * (NR - 1) / (n - 1) + 0.5)] }' > .cache/asv-commits
	$(ASV_ENV) $(BIN)/asv run HASHFILE:.cache/asv-commits --skip-existing-commits $(ASV_RUN)

speed-report: $(INSTALLED)
	$(BIN)/asv publish
	@echo "the report is .cache/asv-html/index.html; $(BIN)/asv preview shows it"

.cache/asv-machine-$(MACHINE): $(INSTALLED)   # asv keeps what it knows of a machine in the user's home
	@mkdir -p .cache
	$(BIN)/asv machine --yes --machine $(MACHINE) > /dev/null
	@touch $@

TORCH = "$$(grep '^torch==' requirements.lock)"

$(INSTALLED): requirements.lock pyproject.toml
	@$(PYTHON) -c "import sys; sys.exit(0 if sys.version_info >= (3, 11) else 'Python 3.11 or newer is needed: make PYTHON=python3.11')"
	$(PYTHON) -m venv .venv
	@if [ -n "$(TORCH_INDEX)" ]; then \
		$(BIN)/python -m pip install -q $(TORCH) --index-url $(TORCH_INDEX); \
	elif [ -n "$(TORCH_BACKEND)" ]; then \
		echo "torch: the $(TORCH_BACKEND) build"; $(BIN)/python -m pip install -q uv && \
		UV_HTTP_TIMEOUT=10 UV_HTTP_RETRIES=0 $(BIN)/uv pip install -q --python $(BIN)/python \
			--torch-backend $(TORCH_BACKEND) $(TORCH) 2> /dev/null || \
		echo "it cannot be reached; pip takes its own, which on Linux is up to 3 GB (TORCH_INDEX=<URL> names another)"; \
	fi
	$(BIN)/python -m pip install -q -r requirements.lock
	$(BIN)/python -m pip install -q --no-deps --no-build-isolation -e .
	@touch $@

.cache/oracles/installed: $(INSTALLED)   # beside what .venv has, torch above all
	$(PYTHON) -m venv --without-pip .cache/oracles
	@$(BIN)/python -c "import site; print(f'import site; site.addsitedir({site.getsitepackages()[0]!r})')" > \
		"$$(.cache/oracles/bin/python -c 'import site; print(site.getsitepackages()[0])')/suite.pth"
	$(BIN)/python -m pip --python .cache/oracles/bin/python install -q --no-build-isolation -e ".[oracles]"
	@touch $@

clean:
	rm -rf .venv .cache build *.egg-info

help:
	@sed -n '1,6s/^# //p' Makefile
