#!/usr/bin/env bash
# Runs each fuzz target for SECONDS (60 if not said) on stable Rust: fuzz/run.sh [SECONDS] [TARGET...]
set -euo pipefail
cd "$(dirname "$0")/.."

seconds=${1:-60}
[[ $seconds =~ ^[0-9]+$ ]] || { echo "usage: fuzz/run.sh [SECONDS] [TARGET...]" >&2; exit 2; }
shift || true
targets=("$@")
if [ ${#targets[@]} -eq 0 ]; then
  for folder in fuzz/corpus/*/; do targets+=("$(basename "$folder")"); done
fi

cargo test --locked --quiet --workspace --test targets --no-run
failed=0
for target in "${targets[@]}"; do
  echo "== $target: the corpus, then $seconds s"
  if ! WEIR_FUZZ_SECONDS=$seconds cargo test --locked --quiet --workspace --test targets -- --nocapture --exact \
    "$target::${target}_corpus" "$target::${target}_grown"; then
    failed=$((failed + 1))
  fi
done
echo "$((${#targets[@]} - failed)) targets held, $failed failed"
[ "$failed" -eq 0 ]
