# The verbs. `make demo` and `make test` are all one needs; `make help` lists the rest.
#
# APT=0 leaves Debian's packages alone and says what is needed instead.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help

APT ?= 1
DEMO ?=
BENCH ?=
LAB ?=
SEED ?= 0
SEEDS ?= 100000
# Property tests take these cases in every run that must pass to land; without it, or with another, others.
export PROPTEST_RNG_SEED ?= 20261123
CARGO ?= cargo

BUILD_PACKAGES := gcc pkg-config clang libclang-dev libavcodec-dev libavformat-dev libavutil-dev \
	libavfilter-dev libswscale-dev libswresample-dev
TEST_PACKAGES := ffmpeg chromium chromium-driver haproxy iproute2 systemd etcd-server postgresql
KTLS_PACKAGES := qemu-system-x86 cpio kmod busybox-static
LAB_PACKAGES := iproute2 libfaketime etcd-server
BENCH_PACKAGES := nginx-light haproxy wrk ffmpeg iproute2 util-linux procps

.PHONY: help
help: ## This list.
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | column -t -s $$'\t'

# $(call need,<packages>): installs what is missing, or says so.
define need
	@missing=""; for package in $(1); do \
		dpkg-query -W -f '$${Status}' $$package 2>/dev/null | grep -q 'ok installed' || missing="$$missing $$package"; done; \
	if [ -n "$$missing" ]; then \
		if [ "$(APT)" = 0 ]; then echo "needed and not installed:$$missing"; exit 1; fi; \
		echo "installing:$$missing"; \
		run=""; [ "$$(id -u)" = 0 ] || run=sudo; \
		$$run apt-get update -qq && DEBIAN_FRONTEND=noninteractive $$run apt-get install -y -qq --no-install-recommends $$missing >/dev/null; \
	fi
endef

# $(call as_root,<command>): network namespaces and mounts need it.
define as_root
	@run=""; [ "$$(id -u)" = 0 ] || run=sudo; $$run $(1)
endef

.PHONY: build-packages
build-packages:
	$(call need,$(BUILD_PACKAGES))

.PHONY: web
web: ## The rich page into web/dist (needs node and npm; without it the built-in page is used).
	@if command -v npm >/dev/null; then \
		cd web && npm ci --ignore-scripts --no-audit --no-fund --loglevel=error && npm run -s build; \
	else echo "web: no npm here: the built-in page is used"; fi

.PHONY: build
build: build-packages web ## Everything, in release.
	$(CARGO) build --release -p mascaret -p transcode

.PHONY: demo
demo: build ## A whole cluster on this machine. DEMO="--for 40s --json" are its flags.
	./target/release/mascaret demo $(DEMO)

# promtool alone out of Debian's package: installed whole it would start a server at our operator's port.
.PHONY: promtool
promtool:
	@if [ -x target/promtool/usr/bin/promtool ] || command -v promtool >/dev/null; then :; \
	elif [ "$(APT)" = 0 ]; then echo "no promtool: the alert rules' own tests are skipped (Debian: prometheus)"; \
	else mkdir -p target/promtool && cd target/promtool && apt-get download -qq prometheus 2>/dev/null && \
		dpkg-deb --fsys-tarfile prometheus_*.deb | tar -x ./usr/bin/promtool && rm prometheus_*.deb; fi || \
		echo "no promtool: the alert rules' own tests are skipped"

.PHONY: rules
rules: promtool ## Alert rules and dashboard: names, syntax, and the rules' own tests by promtool.
	$(CARGO) test -p tidy --test metrics

.PHONY: test
test: build-packages promtool ## Every test that must pass to land.
	$(call need,$(TEST_PACKAGES))
	@$(MAKE) --no-print-directory web
	@if [ -x web/node_modules/.bin/tsc ]; then cd web && npm run -s check; fi
	$(CARGO) fmt --all --check
	$(CARGO) clippy --workspace --all-targets -- -D warnings
	$(CARGO) build --workspace --bins --tests
	$(CARGO) test --workspace --no-fail-fast

.PHONY: check
check: build-packages ## Format and lints only.
	$(CARGO) fmt --all --check
	$(CARGO) clippy --workspace --all-targets -- -D warnings

.PHONY: ktls
ktls: build-packages ## TLS by the kernel, in a small machine with Debian's kernel (qemu; two to five minutes).
	$(call need,$(KTLS_PACKAGES))
	CARGO=$(CARGO) bash runtime/percore/ktls/run.sh

.PHONY: lab
lab: build-packages ## Real processes in network namespaces, struck fault by fault (root; half an hour). LAB="--only 'edge/*'".
	$(call need,$(LAB_PACKAGES))
	$(CARGO) build --release -p mascaret -p transcode -p lab
	$(call as_root,$${CARGO_TARGET_DIR:-target}/release/lab matrix $(LAB))

.PHONY: api
api: build-packages ## The lobby's API asked by schemathesis for all its document says, and much it does not (two minutes; python3-venv).
	$(call need,python3-venv curl)
	$(CARGO) build -p mascaret
	@test -x target/api/venv/bin/st || { python3 -m venv target/api/venv && target/api/venv/bin/pip install -q schemathesis; }
	bash lobby/check-api.sh $${CARGO_TARGET_DIR:-target}/debug/mascaret target/api/venv/bin/st

.PHONY: nightly
nightly: ## What a night has time for: 100,000 days of the whole cluster in one process, each under its seed (an hour).
	$(CARGO) run --release -p lab -- seeds --from $(SEED) --count $(SEEDS)

.PHONY: fuzz
fuzz: ## Ten million cases for every target that reads a stranger's bytes.
	$(CARGO) run --release -p fuzz -- all --cases 10000000

.PHONY: bench-build
bench-build: build-packages
	$(call need,$(BENCH_PACKAGES))
	$(CARGO) build --release -p mascaret -p benches

.PHONY: bench
bench: build bench-build ## Our edge beside nginx and HAProxy, the ladder beside ffmpeg: benches/results/ (25 minutes).
	$(call as_root,$${CARGO_TARGET_DIR:-target}/release/benches --out benches/results $(BENCH))
	for bench in benches/*.sh; do bash $$bench; done

.PHONY: bench-quick
bench-quick: bench-build ## The most telling rows of it in under two minutes. BENCH="--noisy" are its flags.
	$(call as_root,$${CARGO_TARGET_DIR:-target}/release/benches --quick $(BENCH))
