# The commands of the project. `make help` lists them.

SHELL := /bin/bash
CARGO ?= cargo
ARGS ?=
export TOLLGATE_TOOLS ?= $(CURDIR)/.cache/tools

.PHONY: help demo quick test check build deps-build deps-test fmt lint doc deny structure unused pages rules fuzz soak behaviour dist bench-smoke bench-ingest bench-proxy bench-queries bench-day test-readers

help: ## this list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F':.*## ' '{printf "  %-14s %s\n", $$1, $$2}'

demo: deps-build ## install what is missing, build, and run everything with light traffic until Ctrl-C
	$(CARGO) build --workspace
	@target="$${CARGO_TARGET_DIR:-target}"; exec "$$target/debug/tollgate" demo $(ARGS)

# The crates come from the dependency tree: those that need neither DataFusion, Delta, Kafka nor the whole proxy, not even for their tests.
quick: fmt structure ## formatting, structure, and the tests of the crates without heavy dependencies: two minutes after a change
	@leaves="$$(scripts/check-structure.py --leaves)" && set -x && $(CARGO) test --quiet --lib --tests $$leaves

# CI=true: a test that lacks the real part that it needs fails instead of being skipped.
test: deps-test build rules ## install what is missing and run every test
	CI=true $(CARGO) test --workspace --no-fail-fast

check: fmt structure unused lint doc deny pages ## formatting, structure, unused dependencies, lints, documents, licences, advisories

build:
	$(CARGO) build --workspace

deps-build:
	@scripts/install-deps.sh build

deps-test:
	@scripts/install-deps.sh test
	@scripts/kafka.sh install
	@scripts/python-tools.sh >/dev/null

fmt:
	$(CARGO) fmt --all --check

lint:
	$(CARGO) clippy --workspace --all-targets -- -D warnings

doc:
	RUSTDOCFLAGS="-D warnings" $(CARGO) doc --workspace --no-deps --quiet

deny:
	scripts/deny.sh

structure: ## circles of imports, forbidden dependencies, long files
	scripts/tests/test_structure.py --quiet
	scripts/check-structure.py

unused:
	scripts/machete.sh

pages: ## check that documents point at what is there, and that docs/performance.md is what bench/results says
	scripts/tests/test_check_docs.py -q
	scripts/check-docs.py
	python3 bench/tests/test_report.py -q
	bench/report.py --check

rules: ## check the Prometheus rules and the Alertmanager configuration
	scripts/check-rules.sh

fuzz: ## run every fuzz target for a minute (nightly)
	scripts/fuzz.sh $(ARGS)

soak: deps-test ## hundreds of faults; nothing acknowledged may be lost (half an hour; ARGS="--cycles 50 --seed 7")
	scripts/soak.sh $(ARGS)

test-readers: ## let deltalake, DuckDB, ClickHouse and Spark read the table after every step of its maintenance (ARGS="duckdb spark")
	scripts/test-readers.sh $(ARGS)

behaviour: ## record what users see of the binaries in two folders, and compare (OLD=other/target/debug NEW=target/debug)
	scripts/behaviour.sh "$(OLD)" "$(NEW)"

dist: deps-test ## the proxy as it is shipped: optimised as a whole and after a profile of itself under load
	scripts/build-proxy.sh

# Where a bench writes its result: commit the file with docs/performance.md, or set RESULT to keep it elsewhere.
result = $(or $(RESULT),bench/results/$(1)-$(shell date -u +%F).json)

bench-smoke: deps-test ## a transaction and its record beside nginx, from the response to SQL, bytes per record
	scripts/bench-smoke.sh $(ARGS) --json $(call result,smoke)
	bench/report.py

bench-ingest: deps-test ## what delivery bears: acknowledgements, sinks, memory, outage, recovery (ARGS="acks --seconds 5")
	scripts/bench-ingest.sh $(ARGS) --json $(call result,delivery)
	bench/report.py

bench-proxy: deps-test ## the proxy beside nginx, HAProxy, Envoy and Pingora (ARGS="--seconds 1 --rounds 3 keepalive tls")
	scripts/bench-proxy.sh $(ARGS) --json $(call result,proxy)
	bench/report.py

bench-queries: deps-test ## twelve questions to Tollgate, ClickHouse and DuckDB on the same 20 million rows (ARGS="--rows 200000 --rounds 3")
	scripts/bench-queries.sh $(ARGS) --json $(call result,queries)
	bench/report.py

bench-day: deps-test ## a day of 150 million records: stored, compacted, asked (ARGS="--rows 1000000"; 25 GB of disk)
	scripts/bench-day.sh $(ARGS) --json $(call result,day)
	bench/report.py
