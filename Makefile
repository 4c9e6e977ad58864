# Weir. `make run` serves the quickstart; `make test` runs everything. Both fetch what is missing first.
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help

# Models and the ONNX Runtime are cached outside the clone. MODELS=none does without them; tests that need them are then left out.
MODELS ?= all
ifeq ($(MODELS),none)
export WEIR_MODELS := none
endif
WEIR_CACHE ?= $(or $(XDG_CACHE_HOME),$(HOME)/.cache)/weir
export MODELS WEIR_CACHE
# cmake comes from the cache where the machine has none.
export PATH := $(PATH):$(WEIR_CACHE)/bin

CARGO := cargo
NEXTEST := $(shell command -v cargo-nextest >/dev/null && echo "nextest run" || echo "test")
POLICY ?= examples/quickstart

STEPS := lint unit short-fuzz policies figures clients

.PHONY: help setup build run test lint unit short-fuzz policies figures clients fuzz bench bench-peers eval eval-train reference clean

help: ## says what can be made
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | column -t -s "$$(printf '\t')"

setup: ## fetches cmake, the ONNX Runtime and the models, if missing
	@python3 engine/inference/setup.py

build: setup ## builds the release binary
	@$(CARGO) build --release --locked --bin weir

run: build ## serves POLICY (the quickstart) on 127.0.0.1:8080
	@exec target/release/weir serve $(POLICY)

test: setup ## everything that CI runs, and says what it ran
	@rm -rf target/steps
	@for step in $(STEPS); do .ci/step $$step $(MAKE) --no-print-directory $$step; done
	@echo; echo "make test ran, MODELS=$(MODELS):"; cat target/steps/summary

lint: ## formatting, clippy, and that the generated pages are fresh
	$(CARGO) fmt --all -- --check
	$(CARGO) clippy --workspace --all-targets --locked -- -D warnings

unit: ## unit tests of every room, the HTTP suites and the fuzz corpora
	$(CARGO) build --locked --bin weir --bin weir-scripted-upstream
	$(CARGO) $(NEXTEST) --workspace --locked

# The whole workspace, so that nothing is built again with other features.
short-fuzz: ## each fuzz target: its corpus, then 5 s
	WEIR_FUZZ_SECONDS=5 $(CARGO) test --workspace --locked --test targets

policies: ## the cases of the policy library and of the examples, by the binary itself
	$(CARGO) run --locked --quiet --bin weir -- test policies examples

figures: ## what guards find and miss, on the data of this repository: the quick part of `make eval`
	$(CARGO) run --locked --quiet --bin weir-eval -- --quick

clients: ## the official SDKs and frameworks against the quickstart, and against providers of other dialects
	conformance/clients/run.sh

fuzz: setup ## each fuzz target for a minute
	fuzz/run.sh 60

bench: build ## the ratios of the README's table
	bench/run.sh

bench-peers: build ## Weir beside other gateways, which it installs outside the clone
	bench/peers/install.sh $(WEIR_CACHE)/peers
	$(CARGO) build --release --locked --quiet -p weir-bench
	target/release/weir-bench peers --installed $(WEIR_CACHE)/peers

eval: setup ## the tables of eval/README.md: what guards find and miss on labelled data
	python3 eval/prepare.py
	$(CARGO) run --release --locked --quiet --bin weir-eval

eval-train: setup ## trains the heads of guard: injection and guard: content
	python3 eval/prepare.py
	$(CARGO) build --release --locked --quiet --bin weir-eval
	$(WEIR_CACHE)/eval/tools/bin/python eval/train/injection.py $(WEIR_CACHE)/eval target/release/weir-eval
	$(WEIR_CACHE)/eval/tools/bin/python eval/train/content.py $(WEIR_CACHE)/eval target/release/weir-eval

reference: setup ## writes the generated pages below schemas/
	$(CARGO) run --locked --quiet --bin weir -- schema write schemas
	WEIR_WRITE_REFERENCE=1 $(CARGO) test --locked --quiet -p weir-dialect carriage

clean: ## removes what was built; the cache stays
	$(CARGO) clean
