# make run     set up if needed, then the main job     (CONFIG=..., ARGS="--set training.steps=10")
# make test    set up if needed, then the tests        (ARGS="-k gates")
#
# Everything lands in .venv and runs/ of this folder; nothing else of yours is read or changed, except the
# caches and settings of pip and uv. A plain Python 3.11 is all that has to be there.

PYTHON ?= python3.11
CONFIG ?= configs/embedded.yaml
ARGS ?=
KUBECONFIG ?=
VENV := .venv
READY := $(VENV)/.ready
ON_CLUSTER = SAGA_TEST_CLUSTER=1 SAGA_TEST_KUBECONFIG="$(KUBECONFIG)" OMP_NUM_THREADS=1 $(VENV)/bin/python -m pytest

.DEFAULT_GOAL := help
.PHONY: help setup run test test-cluster test-trainer lint format docs lock clean

help:
	@sed -n 's/^## //p' $(MAKEFILE_LIST)

## setup    environment in .venv from the pinned, hashed lock
setup: $(READY)

$(READY): requirements.lock pyproject.toml .ci/setup .ci/uv.lock
	PYTHON="$(PYTHON)" .ci/setup $(VENV)

## run      the main job: CONFIG=configs/embedded.yaml, ARGS="--set training.steps=60"
run: setup
	$(VENV)/bin/saga run $(CONFIG) $(ARGS)

## test     the tests, a process for each core: ARGS="-k retriever"
test: setup
	OMP_NUM_THREADS=1 $(VENV)/bin/python -m pytest --numprocesses auto --dist loadfile $(ARGS)

## test-cluster  the tests on Kubernetes control planes of their own; as root (Go builds it the first time)
test-cluster: setup
	$(ON_CLUSTER) --numprocesses 3 --dist loadfile --ignore tests/cluster/trainer tests/cluster $(ARGS)

## test-trainer  the same with Kubeflow Trainer: trainings on several nodes (Go builds its controllers too)
test-trainer: setup
	$(ON_CLUSTER) --numprocesses 2 --dist loadfile --no-loadscope-reorder tests/cluster/trainer $(ARGS)

## lint     ruff and mypy
lint: setup
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/mypy saga steps pipelines materializers

## format   let ruff format
format: setup
	$(VENV)/bin/ruff check --fix .
	$(VENV)/bin/ruff format .

## docs     write the list of settings in docs/configuration.md anew
docs: setup
	$(VENV)/bin/python -m pipelines.reference docs/configuration.md

## lock     resolve pyproject.toml anew into requirements.lock
lock: setup
	.ci/lock $(VENV)

## clean    remove the environment and caches; runs/ stays
clean:
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .hypothesis *.egg-info
