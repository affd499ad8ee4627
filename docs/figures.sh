#!/usr/bin/env bash
# Makes the pictures of the README and of docs/LEARNING_BACKWARDS.md with the program itself: needs MNIST (LETHE_DATASETS_DIR,
# or the network), curl, and about four minutes. `make figures`
set -euo pipefail
cd "$(dirname "$0")/.."
folder=$(mktemp -d)
lethe() { ./target/release/lethe "$@"; }

./target/release/lethe serve --listen 127.0.0.1:0 --data-dir "$folder" --train-threads 2 >"$folder/address" 2>"$folder/log" &
server=$!
trap 'kill $server; wait $server || true; rm -rf "$folder"' EXIT
until grep -q '^listening on ' "$folder/address"; do kill -0 $server; sleep 0.1; done
export LETHE_SERVER=$(sed 's/^listening on //' "$folder/address")

# the id of a run, from the answer that accepts it
start() {
  curl -fsS "$LETHE_SERVER$1" -H 'Content-Type: application/json' -d "$2" | sed -E 's/^\{"id":"([^"]+)".*/\1/'
}
finish() {
  # the stream of events ends with the run
  curl -fsSN "$LETHE_SERVER/runs/$1/events" -H 'Accept: text/event-stream' >/dev/null
}

nn=$(start /runs '{"mode":"nn","dataset":"mnist","seed":1,"hyperparameters":{"epochs":50}}')
debug=$(start /runs '{"mode":"debug","dataset":"mnist","seed":1,"hyperparameters":{"epochs":50}}')
finish "$nn"
finish "$debug"
curl -fsS "$LETHE_SERVER/runs/$nn/chart.svg?compare=$debug" -o docs/pictures/nn-and-debug.svg

diagnosis=$(start /diagnoses '{"mode":"nn","dataset":"mnist"}')
finish "$diagnosis"
curl -fsS "$LETHE_SERVER/runs/$diagnosis/chart.svg" -o docs/backwards/diagnosis.svg

lethe train --mode standard --dataset mnist --model digits --seed 7 --json >/dev/null 2>&1
for method in gradient_ascent reset_last retrain; do
  lethe unlearn digits:1 --class 3 --method "$method" --verify standard --seed 1 2>/dev/null || true
done
lethe unlearn digits:1 --class 3 --method gradient_ascent --variant plain --verify standard --seed 1 2>/dev/null || true

# the server has downloaded the data, if it had to
lethe --data-dir "$folder" --train-threads 2 bench-backwards --dataset mnist --seeds 3 --out docs/backwards
echo "docs/pictures/nn-and-debug.svg and docs/backwards are written"
