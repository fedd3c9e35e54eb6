#!/bin/bash
# Figures beside the peers', in one run on one machine: see docs/benchmarks.md for what is measured and how.
#
#   scripts/bench.sh [--only size,memory,http,tftp,dhcp,metadata,bmc,install,peer] [--runs N] [--installs N] …
#
# `--help` tells every option. Needs root; works in network namespaces and a lab of its own.
set -euo pipefail
cd "$(dirname "$0")/.."
[ "$(id -u)" = 0 ] || exec sudo --preserve-env=CACHE_HOME,HOME "$0" "$@"
scripts/deps.sh bench
exec python3 -B scripts/bench "$@"
