# make run: the comparison in a few minutes. make test: the tests. make check: style and types. make help: this.
# On Windows use WSL, or the commands below by hand. A CPU-only torch: make run TORCH_INDEX=<URL>, see the README.

PYTHON ?= python3
BIN := .venv/bin
INSTALLED := .venv/installed
export PIP_DISABLE_PIP_VERSION_CHECK := 1

.PHONY: run test check clean help

run: $(INSTALLED)
	$(BIN)/seqbench run results/quick --afresh --figure --device cpu; code=$$?; \
		$(BIN)/seqbench report results/quick && exit $$code   # the page, even where a run failed

test: $(INSTALLED)
	$(BIN)/python -m pytest

check: $(INSTALLED)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	mkdir -p .cache && ln -sfn .. .cache/seqbench
	MYPYPATH=.cache $(BIN)/mypy --namespace-packages --explicit-package-bases \
		-p seqbench.bench -p seqbench.tasks -p seqbench.models

$(INSTALLED): requirements.lock pyproject.toml
	@echo "Installing into .venv. On Linux torch from the default index brings about 3 GB of CUDA libraries;"
	@echo "for the CPU build (about 0.2 GB) stop here and see 'CPU only' in the README."
	@$(PYTHON) -c "import sys; sys.exit(0 if sys.version_info >= (3, 11) else 'Python 3.11 or newer is needed: make PYTHON=python3.11')"
	$(PYTHON) -m venv .venv
	$(if $(TORCH_INDEX),$(BIN)/python -m pip install -q "$$(grep '^torch==' requirements.lock)" --index-url $(TORCH_INDEX))
	$(BIN)/python -m pip install -q -r requirements.lock
	$(BIN)/python -m pip install -q --no-deps --no-build-isolation -e .
	@touch $@

clean:
	rm -rf .venv .cache build *.egg-info

help:
	@sed -n '1,2s/^# //p' Makefile
