# Everything the project can do to itself. `make help` lists it.
.DEFAULT_GOAL := help
.PHONY: help test clients check deny openapi figures bench bench-events bench-serve torture fuzz demo docker-check

help: ## this list
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 16

test: ## install what the tests need, then run all of them
	@command -v cargo >/dev/null || { echo "Rust is needed: https://rustup.rs"; exit 1; }
	@command -v cc >/dev/null || { apt-get update && apt-get install -y --no-install-recommends gcc libc6-dev; }
	@$(MAKE) --no-print-directory clients
	cargo test --locked

CLIENTS := target/clients
clients: $(CLIENTS)/installed ## install the Python clients that tests put to the server
$(CLIENTS)/installed: tests/clients/requirements.txt
	@python3 -c 'import ensurepip' 2>/dev/null || { apt-get update && apt-get install -y --no-install-recommends python3-venv; }
	python3 -m venv --clear $(CLIENTS)
	$(CLIENTS)/bin/pip install --quiet --disable-pip-version-check --no-deps --only-binary :all: -r $<
	touch $@

check: ## formatting, lints, documentation
	cargo fmt --check
	cargo clippy --locked --all-targets -- -D warnings
	RUSTDOCFLAGS="-D warnings" cargo doc --locked --no-deps --document-private-items

deny: ## licences, sources and bans of the dependencies (installs cargo-deny)
	@command -v cargo-deny >/dev/null || cargo install --locked --debug cargo-deny
	cargo fetch --locked # of every platform: the check resolves them all, and asks no one
	cargo deny --offline --locked check bans licenses sources

openapi: ## write openapi.yaml from the code
	cargo run --locked --release --quiet -- openapi > openapi.yaml

demo: ## the whole story in the terminal
	cargo run --locked --release -- demo

docker-check: ## the release binary under a container's conditions, without an engine (needs root)
	cargo build --locked --release
	docker/check.sh target/release/lethe

bench: ## speed, as ratios measured side by side; ROWS=text picks rows (installs PyTorch, 5 GB)
	@$(MAKE) --no-print-directory $(PEERS)/installed || echo "going on without the peers"
	RUSTFLAGS="-C target-cpu=native" cargo build --locked --release --quiet \
		--manifest-path benches/naive/Cargo.toml --target-dir target/naive
	cargo build --locked --release --quiet \
		--manifest-path benches/libraries/Cargo.toml --target-dir target/libraries
	cargo bench --locked --quiet --bench training -- $(if $(ROWS),"$(ROWS)")

bench-events: ## 5,000 readers of a running training: events lost, memory, predictions meanwhile
	cargo bench --locked --quiet --bench events

bench-serve: ## predictions beside an empty request and Python's servers (installs FastAPI, LitServe, ONNX Runtime)
	@$(MAKE) --no-print-directory $(SERVING_PEERS)/installed || echo "going on without the peers"
	cargo bench --locked --quiet --profile dist --bench serving -- $(if $(ROWS),"$(ROWS)")

SERVING_PEERS := target/serving-peers
$(SERVING_PEERS)/installed: benches/serving/peers/requirements.txt
	python3 -m venv $(SERVING_PEERS)
	$(SERVING_PEERS)/bin/pip install --quiet --disable-pip-version-check --no-deps --only-binary :all: -r $<
	touch $@

PEERS := benches/peers/.venv
$(PEERS)/installed: benches/peers/requirements.txt
	python3 -m venv $(PEERS)
	$(PEERS)/bin/pip install --quiet --disable-pip-version-check --no-deps -r $<
	touch $@

torture: ## a fault at every step of every write, kills, power cuts, full disks, crowds (needs root)
	LETHE_TORTURE=1 cargo test --locked --test survival --test crowds -- \
		--include-ignored --nocapture --test-threads 1
	cargo test --locked --test health --test checks --test diagnosis --test convex -- --ignored --nocapture

fuzz: ## every decoder under a fuzzer, each for SECONDS (60) (installs cargo-fuzz)
	@command -v cargo-fuzz >/dev/null || cargo install --locked cargo-fuzz
	set -e; for target in $(notdir $(basename $(wildcard fuzz/fuzz_targets/*.rs))); do \
		cargo fuzz run --sanitizer none $$target -- -max_total_time=$(or $(SECONDS),60) -max_len=4096; \
	done

figures: ## the pictures and numbers of the README, made by the program (needs MNIST)
	cargo build --locked --release
	docs/figures.sh
