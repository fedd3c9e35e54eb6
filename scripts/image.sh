#!/bin/bash
# Debian with the cloud kernel, for the lab: built once, kept in the cache, added to out/images.
#   image.sh [debian-12|debian-13]…   (debian-12 unless said otherwise)
set -euo pipefail
cd "$(dirname "$0")/.."
cache=${CACHE_HOME:-$HOME/.cache/hostler}
store=$cache/state
# What the image is made of decides whether the kept one is still good.
key=$(cat Sources/Images/Debian/*.swift | sha256sum | cut -c1-16)
mkdir -p "$store"
for image in "${@:-debian-12}"; do
    built=$store/built-from
    [ "$image" = debian-12 ] || built=$built-$image
    if [ "$(cat "$built" 2>/dev/null)" = "$key" ] && [ -e "$store/images/index.json" ]; then
        echo "$image is kept from an earlier build in $store/images"
        continue
    fi
    out/bin/hostler image build "$image" --kernel cloud --state-dir "$store"
    echo "$key" >"$built"
done
