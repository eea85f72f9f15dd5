# The verbs of this project. CI calls only these. `make` alone prints them.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.PHONY: help setup demo test soak fuzz check fmt clippy deny tidy shell ci bench images compose-test monitoring chart clean

# Tools that CI builds for itself live outside the tree, one folder per version.
TOOLS ?= $(or $(XDG_CACHE_HOME),$(HOME)/.cache)/rds-csi/tools
DENY_VERSION := 0.20.2
DENY := $(TOOLS)/cargo-deny-$(DENY_VERSION)/bin/cargo-deny

help: ## print this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

setup: ## install the system packages the build and the tests need (Debian, Ubuntu), or name them
	@tests/setup

demo: setup ## see it work: two nodes, one volume, from create to delete (KEEP=1 leaves it running, OTLP=http://host:4317 sends its traces there)
	@cargo build --quiet --workspace --bins
	@target/debug/demo $(if $(filter 1,$(KEEP)),--keep) $(if $(OTLP),--otlp $(OTLP))

test: setup ## every test that this machine can run; says loudly which it left out and why
	cargo test --workspace --no-fail-fast

soak: setup ## what is too long for every day: 10,000 random sequences with crashes (RDS_SEED=N begins elsewhere)
	RDS_SEQUENCES=$(or $(RDS_SEQUENCES),10000) cargo test --package rds-backend --test appliance -- --nocapture model
	RDS_SEQUENCES=$(or $(RDS_SEQUENCES),10000) cargo test --package nvme-agent --lib -- --nocapture model

fuzz: setup ## property tests with new seeds, a minute each (SECONDS_EACH=60)
	@tests/fuzz

check: fmt clippy deny tidy shell ## formatting, lints, licences and bans, the laws of the tree, shell scripts

fmt: ## formatting, without changing anything
	cargo fmt --all --check

clippy: setup ## lints, warnings are errors
	cargo clippy --workspace --all-targets -- -D warnings

deny: $(DENY) ## licences, banned crates, sources (advisories need the network: `cargo deny check advisories`)
	$(DENY) --all-features check licenses bans sources

$(DENY):
	cargo install --quiet --locked --version $(DENY_VERSION) --root $(TOOLS)/cargo-deny-$(DENY_VERSION) cargo-deny

tidy: ## the laws of this tree, as tests
	cargo test --quiet --package tidy

shell: ## shell scripts, where shellcheck is installed
	@if command -v shellcheck >/dev/null; then shellcheck tests/setup tests/tools tests/fuzz .ci/run compose/{credentials,engine,images,local-base,measure,sbom,stand-ins,story,test}; else echo 'shell: left out, shellcheck is not installed'; fi

ci: check tools ## everything CI runs, 1,000 random sequences among it
	@RDS_SEQUENCES=$${RDS_SEQUENCES:-1000} $(MAKE) test demo

bench: setup ## what each operation costs beside plain SSH in the same run, bursts, 10,000 volumes (ONLY=operations: that part)
	@cargo build --release --quiet --package bench --package rds-backend --bins
	@target/release/bench $(ONLY)

images: ## an image of every program, and its SBOM (needs a Docker engine; BINARIES=prebuilt compiles outside of it)
	@compose/images

compose-test: ## the whole stack in containers with Jaeger and Prometheus, proven and taken down (needs a Docker engine)
	@compose/test

monitoring: setup ## the chart's alerts and dashboards, held against promtool, Prometheus and a running stack
	@tests/tools promtool prometheus >/dev/null
	cargo test --package monitoring

tools: setup ## build the tools that judge chart, alerts and dashboards, once, into a cache outside the tree
	@tests/tools helm kubectl etcd kube-apiserver promtool prometheus >/dev/null

chart: setup ## the chart: schema, golden renderings, its laws, a real API server's dry run and the table of rights
	@tests/tools helm kubectl etcd kube-apiserver >/dev/null
	cargo test --package chart --package cluster

clean: ## remove what the build made
	cargo clean
