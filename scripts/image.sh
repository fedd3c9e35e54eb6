#!/bin/bash
# Debian 12 with the cloud kernel, for the lab: built once, kept in the cache, added to out/images.
set -euo pipefail
cd "$(dirname "$0")/.."
cache=${CACHE_HOME:-$HOME/.cache/hostler}
store=$cache/state
# What the image is made of decides whether the kept one is still good.
key=$(cat Sources/Images/Debian/*.swift | sha256sum | cut -c1-16)
if [ "$(cat "$store/built-from" 2>/dev/null)" = "$key" ] && [ -e "$store/images/index.json" ]; then
    echo "debian-12 is kept from an earlier build in $store/images"
    exit 0
fi
mkdir -p "$store"
out/bin/hostler image build debian-12 --kernel cloud --state-dir "$store"
echo "$key" >"$store/built-from"
