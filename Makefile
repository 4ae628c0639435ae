# make demo   everything for the main job: environment, data, training, results on the test weeks
# make test   everything for the tests; make test-all adds the long ones; make lint: ruff and mypy
# make reliability   kills, crashes, damage, bad numbers, topologies: the whole of docs/reliability.md
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin

.PHONY: demo test test-all reliability lint clean

demo: $(VENV)/demo
	$(BIN)/python examples/flights_tables.py data/flights
	$(BIN)/mmseq train --config configs/flights.yaml --output runs
	$(BIN)/mmseq evaluate "$$(ls -td runs/flights* | head -n 1)" --split test

test: $(VENV)/dev
	$(BIN)/python -m pytest -q -n 2 -m "not slow"

test-all: $(VENV)/dev
	$(BIN)/python -m pytest -q -n 2

reliability: $(VENV)/dev
	$(BIN)/python -m pytest -q -n 2 --durations=10 tests/reliability

lint: $(VENV)/dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

$(VENV)/demo $(VENV)/dev: $(VENV)/%: pyproject.toml
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --editable '.[$*]'
	touch $@

clean:
	rm -rf $(VENV) .mmseq runs data/flights data/textbook
