#!/usr/bin/env bash
# Measures the release binary and prints the table: bench/run.sh [--quick] [--only cpu,stream,latency,semantic,search,memory,reload]
set -euo pipefail
cd "$(dirname "$0")/.."
target="${CARGO_TARGET_DIR:-target}"
cargo build --release --locked --quiet -p weir-bench
exec "$target/release/weir-bench" run --weir "${WEIR_BIN:-$target/release/weir}" --out "$target/bench/results.md" "$@"
