# Trailpost. `make` lists the targets.

SHELL := bash
.SHELLFLAGS := -euo pipefail -c
MAKEFLAGS += --no-builtin-rules --no-print-directory

GO ?= go
# Arguments of services/local for `make run`: ARGS=--servers=docker
ARGS ?=
# The modules of go.work, since ./... is the packages of one: all but those of hack/tools.
MODULES := $(shell sed -n 's|^\t\(\.[^ ]*\)$$|\1|p' go.work)
PACKAGES := $(MODULES:%=%/...)
# Packages and more flags for the tests: make test PKG=./services/internal/store TESTFLAGS='-run Copy -v'
PKG ?= $(PACKAGES)
TESTFLAGS ?=
# How many packages test at once. They wait for servers now and then: on two cores, two of
# them leave a sixth of the machine idle, three next to nothing.
TESTPARALLEL ?= 3
FUZZTIME ?= 30s
FAULTSTIME ?= 3m

VERSION ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo unknown)
REVISION ?= $(shell git rev-parse HEAD 2>/dev/null || echo unknown)
# Where images are named for, and how; for more platforms and a registry:
# make images IMAGE_PREFIX=registry.example.org/trailpost BUILDX='--platform linux/amd64,linux/arm64 --push'
IMAGE_PREFIX ?= trailpost
IMAGE_TAG ?= dev
BUILDX ?= --load
TELEMETRY := github.com/trailpost/trailpost/services/internal/telemetry

# Every command has these tags, or what two of them share would be compiled twice: here, in
# .golangci.yml, hack/e2e and the Dockerfiles. nomsgpack leaves out the MessagePack of gin, 6 MB
# of the producer that nothing here uses.
TAGS := nomsgpack
export GOFLAGS := $(strip $(filter-out -tags=$(TAGS),$(GOFLAGS)) -tags=$(TAGS))

# No debugger reads the tests' binaries, and their symbols are a fifth of the time to link them.
# With -trimpath, what is compiled in one clone is in the cache for all.
TEST := $(GO) test -p $(TESTPARALLEL) -trimpath -ldflags=-s -timeout 15m
# The path of a tool, built if need be. -modfile excludes go.work, which some tools read themselves.
tool = "$$(GOWORK=off $(GO) tool -modfile=$(1)/go.mod -n $(2))"
GOLANGCI_LINT := $(call tool,hack/tools,golangci-lint)
GOVULNCHECK := $(call tool,hack/tools,govulncheck)
ACTIONLINT := $(call tool,hack/tools/actionlint,actionlint)
CYCLONEDX := $(call tool,hack/tools/cyclonedx-gomod,cyclonedx-gomod)
BEGIN_SCRIPT := ^\#! ?/(usr/)?bin/(env )?(ba)?sh( |$$)

.PHONY: help
help: ## list the targets
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / { printf "  make %-15s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

##### Use

# Built and exec'ed, not `go run`, so that a signal to make reaches it and it ends
# its servers itself.
.PHONY: run
run: ## start all of Trailpost on this machine; installs the servers if they are missing
	hack/install-packages
	$(GO) build -o bin/ ./services/local
	exec bin/local $(ARGS)

# Without go.work, as in the images.
.PHONY: build
build: ## the binaries, in bin/
	GOWORK=off CGO_ENABLED=0 $(GO) build -trimpath -ldflags '-X $(TELEMETRY).version=$(VERSION)' -o bin/ \
	  ./services/producer ./services/consumer ./services/migrate ./services/local
	@! $(GO) version -m bin/producer bin/consumer bin/migrate bin/local | grep ugorji \
	  || { echo 'built with the MessagePack of gin: see TAGS' >&2; exit 1; }

##### Test

.PHONY: test
test: bin/withservers page-commands ## all tests with the race detector, on one private pair of servers
	hack/install-packages
	hack/install-packages prometheus
	hack/install-packages pgbouncer
	hack/need cc gcc libc6-dev
	exec bin/withservers -- $(TEST) -race $(TESTFLAGS) $(PKG)

# Every package with a test that asks for servers, not under the race detector:
# this run is about the servers.
.PHONY: test-new
test-new: bin/withservers page-commands ## the tests that use servers again, on RabbitMQ 4.3 and PostgreSQL 18 in docker
	hack/install-packages prometheus
	hack/install-packages pgbouncer
	packages=$$(hack/server-packages); \
	TRAILPOST_TEST_KIND=docker exec bin/withservers -- $(TEST) -count=1 $(TESTFLAGS) $$packages

# `make test` has a short schedule of them.
.PHONY: faults
faults: ## every fault alone, FAULTSTIME (default 3m) of a random schedule, and the mutants that the judge must convict
	hack/install-packages
	$(GO) test -count=1 -v -timeout 2h ./services/internal/faults -faults.all -faults.duration=$(FAULTSTIME) $(TESTFLAGS)

# `make test` has two of the runs, and a smaller table.
.PHONY: followers
followers: ## docs/following.md through 100 random runs of crashes and restores, and what its pages read of 10 million rows
	hack/install-packages
	hack/need psql postgresql-client
	$(GO) test -count=1 -v -timeout 4h ./services/internal/followers -followers.runs=100 -followers.rows=10000000 \
	  -followers.o=../../../docs/measurements/followers.txt $(TESTFLAGS)

# `make test` has a smaller table and a shorter reader.
.PHONY: migration
migration: ## migration 13 on 10 million rows under load, while a reader holds the trail for a minute
	hack/install-packages
	$(GO) test -count=1 -v -timeout 1h ./services/internal/schema -run TestStepsGiveWay -schema.rows=10000000 -schema.hold=60s \
	  -schema.o=../../../docs/measurements/migration.txt $(TESTFLAGS)

.PHONY: fuzz
fuzz: bin/withservers ## each fuzz target for FUZZTIME (default 30s)
	hack/install-packages
	exec bin/withservers -- hack/fuzz $(FUZZTIME)

# Figures of a machine that does nothing else: BENCHFLAGS="-only 'limits|store'" for a part of it.
BENCHFLAGS ?=
.PHONY: bench
bench: bin/withservers build ## how fast it is, beside the limits of its servers; six minutes, bench.json
	hack/install-packages
	$(GO) build -o bin/bench ./hack/bench
	exec bin/withservers --export -- bin/bench $(BENCHFLAGS)

.PHONY: bench-full
bench-full: ## the same with larger tables, longer queues and larger events
	exec $(MAKE) bench BENCHFLAGS='-full -rounds 5 $(BENCHFLAGS)'

.PHONY: soak
soak: ## 2,000 events a second for half an hour, after which memory, goroutines and descriptors may not have grown
	exec $(MAKE) bench BENCHFLAGS='-soak 30m -o soak.json $(BENCHFLAGS)'

.PHONY: bin/withservers
bin/withservers:
	@$(GO) build -o $@ ./services/internal/testbed/cmd/withservers

# What the pages show is run by tests, with these.
.PHONY: page-commands
page-commands:
	@hack/need curl
	@hack/need jq
	@hack/need python3
	@hack/need zstd
	@hack/need psql postgresql-client

##### Kubernetes

.PHONY: images
images: ## the images trailpost/producer and trailpost/consumer, tagged IMAGE_TAG (default dev)
	pinned=$$(hack/base-images flags); \
	for service in producer consumer; do \
	  docker buildx build $(BUILDX) $$pinned --file Dockerfile.$$service --tag $(IMAGE_PREFIX)/$$service:$(IMAGE_TAG) \
	    --build-arg VERSION=$(VERSION) --build-arg REVISION=$(REVISION) .; \
	done

# They need a registry to go to: IMAGE_PREFIX=registry.example.org/trailpost IMAGE_TAG=v0.3.0. Look at what was attested with
# docker buildx imagetools inspect --format '{{json .SBOM}}' (or .Provenance) IMAGE.
.PHONY: release-images
release-images: hack/base-images.lock ## the images for two platforms, pushed, with their SBOM and provenance
	$(MAKE) images BUILDX='--platform linux/amd64,linux/arm64 --sbom=true --provenance=mode=max --push'

hack/base-images.lock:
	hack/base-images pin

.PHONY: sbom
sbom: build ## a bill of materials of each binary, bin/*.cdx.json (CycloneDX), without any network
	for binary in producer consumer migrate; do \
	  $(CYCLONEDX) bin -json -std -noserial -notimestamp -version '$(VERSION)' -output bin/$$binary.cdx.json bin/$$binary; \
	done

.PHONY: e2e
e2e: ## the end-to-end tests, on a kind cluster; hack/e2e says what they need
	exec hack/e2e

##### Check

# The longest first: half of them wait for one thing at a time.
CHECKS := check-rules check-lint check-chart check-vet check-modules check-vulnerabilities check-k8s \
  check-format check-scripts check-workflows check-paths check-dashboards check-docs

.PHONY: check
check: ## everything but the tests
	exec $(MAKE) --jobs=4 --output-sync=target $(CHECKS)

.PHONY: format
format: ## gofmt, with the imports in order
	$(GOLANGCI_LINT) fmt

.PHONY: check-format
check-format:
	@files=$$(gofmt -l .); [ -z "$$files" ] || { echo "not gofmt'ed (make format): $$files" >&2; exit 1; }

.PHONY: check-vet
check-vet:
	$(GO) vet $(PACKAGES)

.PHONY: check-lint
check-lint:
	$(GOLANGCI_LINT) run $(PACKAGES)

.PHONY: check-modules
check-modules:
	@for file in $$(git ls-files -- go.mod '*/go.mod'); do \
	  echo "go -C $$(dirname $$file) mod tidy -diff"; $(GO) -C $$(dirname $$file) mod tidy -diff; \
	done
	$(GO) mod verify
	$(GO) test -count=1 ./test/modules

.PHONY: check-scripts
check-scripts:
	@hack/need shellcheck
	git grep --untracked -lE '$(BEGIN_SCRIPT)' -- ':!*.go' ':!*.md' | xargs shellcheck

.PHONY: check-workflows
check-workflows:
	$(ACTIONLINT)

# Links, commands, examples and language of README and docs; docs/style.md.
.PHONY: check-docs
check-docs:
	$(GO) test -count=1 ./test/docs

# A path of one developer's machine is nobody else's.
.PHONY: check-paths
check-paths:
	@! git grep --untracked -nE '(^|[^A-Za-z0-9_.$$/-])/(work|Users|(root|home/[a-z]+)/(go|src|work))(/|$$|[^A-Za-z0-9_/-])' \
	  || { echo 'absolute paths of a machine; see above' >&2; exit 1; }

# The Grafana dashboards are what hack/dashboards writes.
.PHONY: check-dashboards
check-dashboards:
	$(GO) -C hack/dashboards run . -check

.PHONY: dashboards
dashboards: ## write the Grafana dashboards of the chart anew
	$(GO) -C hack/dashboards run .

.PHONY: check-chart
check-chart: ## the Helm chart, without a cluster
	hack/check-chart

.PHONY: chart-docs
chart-docs: ## write the READMEs and the schemas of the Helm chart's values from values.yaml
	hack/check-chart --write

.PHONY: check-k8s
check-k8s: ## the manifests for the operators, without a cluster
	hack/check-k8s

.PHONY: check-rules
check-rules: ## the alerts, and their unit tests
	hack/check-rules

.PHONY: check-vulnerabilities
check-vulnerabilities:
	hack/vulnerabilities $(GOVULNCHECK) $(PACKAGES)

.PHONY: clean
clean: ## remove bin/; the data of `make run` stay, in .trailpost/
	rm -rf bin
