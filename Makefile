# Outrider. `make help` lists the targets.

CACHE        ?= $(if $(XDG_CACHE_HOME),$(XDG_CACHE_HOME),$(HOME)/.cache)/outrider
CONSUL       := $(CACHE)/consul-1.22.0/consul
COMPOSE      := $(CACHE)/docker-compose-5.5.1/docker-compose
JAEGER       := $(CACHE)/jaeger-1.76.0/jaeger
PROMTOOL     := $(CACHE)/prometheus/usr/bin/promtool
LINT_VERSION := v2.15.0
LINT         := $(CACHE)/golangci-lint-$(LINT_VERSION)/golangci-lint
VERSION      := $(shell git describe --tags --always --dirty 2>/dev/null || echo dev)
# Flags of the benchmark, such as -cases c64 -profile cpu.prof -out result.json.
BENCH        ?=
UNIT          = $(shell go list ./... | grep -v '^outrider/integration')
FUZZTIME     ?= 30s

.DEFAULT_GOAL := help

.PHONY: help
help: ## Show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## /{printf "  make %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

.PHONY: build
build: ## Build bin/sidecar, one static binary
	@CGO_ENABLED=0 go build -trimpath -ldflags '-s -w -X main.version=$(VERSION)' -o bin/sidecar ./sidecar

.PHONY: demo
demo: build ## Run example services, their sidecars and the ingress on localhost:8080
	@bin/sidecar demo

.PHONY: test
test: consul compose jaeger promtool python ## Run every test with the race detector, the integration tests too
	PATH="$$PATH:$(dir $(PROMTOOL))" TEST_TOOLS=$(CACHE) go test -race -shuffle=on -timeout 30m ./...

.PHONY: consul
consul: $(CONSUL) ## Build the Consul that the tests run against (once, about five minutes)

.PHONY: compose
compose: $(COMPOSE) ## Build the docker compose that the tests read files with (once, about two minutes)

.PHONY: jaeger
jaeger: $(JAEGER) ## Build the Jaeger that the tests send traces to (once, about three minutes)

.PHONY: promtool
promtool: ## Fetch Debian's promtool, where there is none
	@command -v promtool >/dev/null || $(MAKE) -s $(PROMTOOL)

.PHONY: python
python: ## Install the Python whose HTTP client the tests call with, where there is none
	@command -v python3 >/dev/null || { apt-get update -q && apt-get install -y -q --no-install-recommends python3; }

.PHONY: check
check: lint ## Run the linters and the unit tests
	go test $(UNIT)

.PHONY: lint
lint: $(LINT) ## Run the linters
	go vet ./...
	$(LINT) run ./...

.PHONY: bench
bench: build ## Measure the proxy beside nginx, HAProxy and Caddy, about 20 minutes; BENCH adds flags
	go run ./integration/bench $(BENCH)

.PHONY: bench-quick
bench-quick: build ## The same in less than two minutes: small bodies, 1 and 64 connections
	go run ./integration/bench -quick $(BENCH)

.PHONY: bench-micro
bench-micro: ## Run the micro-benchmarks (pick, match, limit, pass-through)
	go test -run '^$$' -bench . -benchmem ./...

.PHONY: sim
sim: ## Print the simulation of every balancing policy, in virtual time
	go test -count=1 -v -run '^TestSimulation' ./outbound/balance

.PHONY: loadtest
loadtest: build ## Run the guide's load test against the demo, 30 s, on this machine only
	@cd examples/loadtest && npm ci --ignore-scripts --no-audit --no-fund --silent && node loadtest.js --demo ../../bin/sidecar

.PHONY: fuzz
fuzz: ## Run each fuzz test for FUZZTIME (30s)
	@for p in $(UNIT); do \
	  for f in $$(go test -list '^Fuzz' $$p | grep '^Fuzz'); do \
	    echo "$$p $$f"; go test -run '^$$' -fuzz "^$$f\$$" -fuzztime $(FUZZTIME) $$p || exit 1; \
	  done; \
	done

.PHONY: soak
soak: ## 60 seconds of traffic under reloads and killed instances, with the count of failures
	go test -count=1 -v -run '^TestSoak' ./integration

# The nested module pins Consul and what it needs. The file is renamed into place, so
# that a build that was cut off leaves none.
$(CONSUL): | integration/consul/go.sum
	@echo "building Consul into $(@D) (once, about five minutes)"
	@mkdir -p $(@D)
	@cd integration/consul && GOFLAGS= CGO_ENABLED=0 go build -trimpath -ldflags '-s -w' -o $@.new github.com/hashicorp/consul && mv $@.new $@

$(COMPOSE): | integration/compose/go.sum
	@echo "building docker compose into $(@D) (once, about two minutes)"
	@mkdir -p $(@D)
	@cd integration/compose && GOFLAGS= CGO_ENABLED=0 go build -trimpath -ldflags '-s -w' -o $@.new github.com/docker/compose/v5/cmd && mv $@.new $@

$(JAEGER): | integration/jaeger/go.sum
	@echo "building Jaeger into $(@D) (once, about three minutes)"
	@mkdir -p $(@D)
	@cd integration/jaeger && GOFLAGS= CGO_ENABLED=0 go build -trimpath -ldflags '-s -w' -o $@.new github.com/jaegertracing/jaeger/cmd/all-in-one && mv $@.new $@

# The package is unpacked, not installed: its daemon is not to run.
$(PROMTOOL):
	@echo "fetching promtool into $(CACHE)/prometheus"
	@mkdir -p $(CACHE)/prometheus
	@cd $(CACHE)/prometheus && apt-get update -q && apt-get download -q prometheus && dpkg-deb -x prometheus_*.deb . && rm prometheus_*.deb

$(LINT):
	@echo "building golangci-lint $(LINT_VERSION) into $(@D) (once, about two minutes)"
	@GOBIN=$(@D) GOFLAGS= go install github.com/golangci/golangci-lint/v2/cmd/golangci-lint@$(LINT_VERSION)
