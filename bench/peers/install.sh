#!/usr/bin/env bash
# Installs the other gateways, pinned, outside the clone: bench/peers/install.sh DIR. A re-run does no work.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
mkdir -p "$1"
into=$(cd "$1" && pwd)
pins=$(cat "$here/requirements.txt" "$here/package-lock.json" | sha256sum)
[ "$(cat "$into/pins" 2>/dev/null)" = "$pins" ] && exit 0
rm -rf "$into/python" "$into/node"
python3 -m venv "$into/python"
"$into/python/bin/pip" install --quiet --disable-pip-version-check -r "$here/requirements.txt"
mkdir "$into/node"
cp "$here/package.json" "$here/package-lock.json" "$into/node"
npm ci --silent --ignore-scripts --prefix "$into/node"
echo "$pins" > "$into/pins"
