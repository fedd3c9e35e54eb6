#!/bin/bash
# The end-to-end tests; see Tests/EndToEnd/run.py. As root: they make network namespaces.
cd "$(dirname "$0")/.."
export PYTHONDONTWRITEBYTECODE=1
exec timeout 2700 python3 Tests/EndToEnd/run.py --images "${CACHE_HOME:-$HOME/.cache/hostler}/state/images" "$@"
