# The commands of every day. `make help` lists them; `cargo xtask` holds what they check.

CACHE_DIR ?= $(HOME)/.cache/flame-ha
# Outside the checkout, so that a second clone and CI use the RocksDB that is already compiled.
export CARGO_TARGET_DIR ?= $(CACHE_DIR)/target
# The published Rust client is compiled as its users do: apart from the workspace, with its own lockfile.
export FLAME_CONFORMANCE_TARGET_DIR ?= $(CACHE_DIR)/target-conformance
# The published Python client; what ours stands on, installed and as files.
export FLAME_VENV ?= $(CACHE_DIR)/venv-flamepy-0.6.0
export FLAME_PYTHON_VENV ?= $(CACHE_DIR)/venv-python
export FLAME_WHEELS ?= $(CACHE_DIR)/wheels
# ccache's compilers first, where it is installed.
export PATH := /usr/lib/ccache:$(PATH)

OFFLINE := --locked --offline
BIN := $(CARGO_TARGET_DIR)/release
# Compiled long before anything of ours, and silently.
ROCKSDB := $(BIN)/deps/liblibrocksdb_sys-*.rlib

# Everything here is parallel inside; side by side, the installers would only wait for each other's locks, or fail.
.NOTPARALLEL:
.PHONY: help deps deps-build build build-conformance demo image book test verify fix clean-demo

help: ## Show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

deps: ## Install and fetch everything that building and testing need, all pinned
	@scripts/deps.sh test

deps-build:
	@scripts/deps.sh build

build: deps-build ## Build every program of the workspace (release, as everything here)
	@ls $(ROCKSDB) >/dev/null 2>&1 || echo "build: RocksDB alone takes a quarter of an hour on two cores, this once"
	cargo build $(OFFLINE) --release --workspace --bins

build-conformance: deps
	CARGO_TARGET_DIR=$(FLAME_CONFORMANCE_TARGET_DIR) cargo build $(OFFLINE) --release --manifest-path sdk/conformance/rust/Cargo.toml

demo: build ## Run 10,000 tasks on three coordinators, kill the leader half-way, count what was lost
	$(BIN)/flame-chaos demo

image: build ## Build the container image flame-ha from this checkout (needs docker; BASE=, PROFILE=)
	deploy/image.sh

# Compiled once, from the registry of crates: it is needed by whoever reads the documentation as a site, and by no test.
MDBOOK := $(CACHE_DIR)/mdbook/bin/mdbook
$(MDBOOK):
	CARGO_TARGET_DIR=$(CACHE_DIR)/mdbook/target cargo install --locked --root $(CACHE_DIR)/mdbook --version 0.5.4 --no-default-features --features search mdbook
	rm -rf $(CACHE_DIR)/mdbook/target

book: $(MDBOOK) ## Build the documentation as a book, into target/book
	$(MDBOOK) build docs

test: deps build build-conformance ## Everything CI runs: style, lints, rules, all tests, both published clients
	cargo xtask verify

verify: ## The same checks without installing or building anything beforehand
	cargo xtask verify

fix: ## Format, and let clippy mend what it can
	cargo xtask fix

clean-demo: ## End the demo's processes and remove its data, after it was interrupted
	$(BIN)/flame-chaos clean
