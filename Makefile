# Everything that a developer types. `make` alone lists it.

.DEFAULT_GOAL := help
GOBUILD = CGO_ENABLED=0 go build -trimpath

help: ## list the targets
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 12

run: build ## build and serve on 127.0.0.1:5000, with the data in ./data
	@bin/berth serve

build: ## write bin/berth
	@$(GOBUILD) -o bin/berth ./cmd/berth

test: ## install what the tests need and run them: unit, both databases, race, real clients
	@scripts/test.sh

test-all: ## what make test runs, and heavy clients, the race detector everywhere, lint, minutes of fuzzing
	@scripts/test.sh all

check: ## format, vet, lint, cross-compile, generated files
	@scripts/check.sh

bench: ## measure against the floor and docker-registry, side by side
	@scripts/bench.sh

fuzz: ## fuzz every target for FUZZTIME (default 30s)
	@scripts/fuzz.sh

crash: ## kill the server at every crash point, and at random, CRASHES times (default 5000)
	@scripts/crash.sh

storm: ## have 32 clients do everything at once for STORM (default 30m) while garbage goes and servers are killed
	@scripts/storm.sh

powerloss: ## cut a server's power at POWERLOSS_STATES moments (default 10000); needs root
	@scripts/powerloss.sh

.PHONY: help run build test test-all check bench fuzz crash storm powerloss
