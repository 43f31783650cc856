# Outrider. `make help` lists the targets.

CACHE        ?= $(if $(XDG_CACHE_HOME),$(XDG_CACHE_HOME),$(HOME)/.cache)/outrider
CONSUL       := $(CACHE)/consul-1.22.0/consul
LINT_VERSION := v2.15.0
LINT         := $(CACHE)/golangci-lint-$(LINT_VERSION)/golangci-lint
VERSION      := $(shell git describe --tags --always --dirty 2>/dev/null || echo dev)
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
test: consul ## Run every test with the race detector, the integration tests too
	OUTRIDER_CACHE=$(CACHE) go test -race -shuffle=on -timeout 30m ./...

.PHONY: consul
consul: $(CONSUL) ## Build the Consul that the tests run against (once, about five minutes)

.PHONY: check
check: lint ## Run the linters and the unit tests
	go test $(UNIT)

.PHONY: lint
lint: $(LINT) ## Run the linters
	go vet ./...
	$(LINT) run ./...

.PHONY: bench
bench: ## Run the micro-benchmarks (pick, match, limit, pass-through)
	go test -run '^$$' -bench . -benchmem ./...

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

$(LINT):
	@echo "building golangci-lint $(LINT_VERSION) into $(@D) (once, about two minutes)"
	@GOBIN=$(@D) GOFLAGS= go install github.com/golangci/golangci-lint/v2/cmd/golangci-lint@$(LINT_VERSION)
