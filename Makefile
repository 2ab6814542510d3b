# The two commands: `make demo` and `make test`. Both set up all they need on a fresh Debian or Ubuntu machine.

.PHONY: help setup demo demo-down test bench conformance soak crash faults clients attacks interop fuzz codegen e2e-all

help: ## Show this list
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## /{printf "  %-11s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: ## Install what the other targets need (packages, Rust, Go)
	@./bootstrap.sh

demo: setup ## Carry Kubernetes across the gap, step by step; leaves the lab up
	@echo "building the demo's own tools (a minute the first time)"
	@. ./bootstrap.sh --env && cargo xtask demo

demo-down: setup ## Remove what the demo left
	@. ./bootstrap.sh --env && cargo xtask demo --down

test: setup ## Everything that CI checks
	@. ./bootstrap.sh --env && cargo xtask ci

e2e-all: setup ## Every end-to-end scenario, also those that take too long for CI
	@. ./bootstrap.sh --env && cargo xtask e2e --all

bench: setup ## Build, import, send, repair and the registry beside the peers, in one run
	@./lab/setup.sh docker-registry:docker-registry par2:par2
	@. ./bootstrap.sh --env && cargo xtask bench

conformance: setup ## The official suite of the OCI distribution specification, both profiles, every switch on
	@. ./bootstrap.sh --env && cargo xtask conformance

soak: setup ## An hour of pushes, mounts, deletes and pulls while garbage is collected
	@. ./bootstrap.sh --env && cargo xtask soak --minutes 60

crash: setup ## The store killed, told that the disk is full or fails, and without power, at every durable step
	@. ./bootstrap.sh --env && SEALOCK_CRASH_SAMPLES=20 cargo test --quiet -p sealock-store --test it faults:: -- --nocapture --test-threads=1

faults: setup ## Every fault of the table on real nodes: kill -9, power, cable, disk, bit flips, tokens, pressure
	@. ./bootstrap.sh --env && cargo xtask faults

clients: setup ## Other people's clients push to the registry and pull from it
	@./lab/setup.sh podman:podman buildah:buildah
	@. ./bootstrap.sh --env && cargo xtask clients

attacks: setup ## Every attack of the threat model, with its reason code
	@. ./bootstrap.sh --env && cargo test --quiet -p sealock-cli --test it attacks -- --nocapture

interop: setup ## Other people's tools against our bundles, registry and metadata
	@. ./bootstrap.sh --env && cargo xtask interop

fuzz: setup ## Run every fuzz target for a minute (needs a nightly Rust)
	@. ./bootstrap.sh --env && cargo xtask fuzz

codegen: setup ## Write the generated docs
	@. ./bootstrap.sh --env && cargo xtask codegen
