#!/bin/bash
# Unmodified Debian with its unmodified cloud-init comes up from each data source, in a lab of its own: host name,
# keys, user-data, and a bond of two ports with a VLAN and static addresses that carry traffic. See metadata_lab.py.
#   IMAGES   those to install (debian-12 and debian-13; each is built once and kept: scripts/image.sh)
#   SOURCES  data sources, two at a time: one machine each
#   KEEP     a folder for what each system said of its first boot
set -euo pipefail
cd "$(dirname "$0")/.."
[ "$(id -u)" = 0 ] || exec sudo --preserve-env=IMAGES,SOURCES,KEEP,CACHE_HOME,HOME "$0" "$@"
scripts/deps.sh
scripts/image.sh ${IMAGES:-debian-12 debian-13}
export PYTHONDONTWRITEBYTECODE=1
exec timeout 3600 python3 scripts/metadata_lab.py "${CACHE_HOME:-$HOME/.cache/hostler}/state/images"
