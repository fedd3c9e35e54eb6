#!/bin/bash
# Format and house rules. Warnings as errors are the compiler's part: see `make unit`.
set -euo pipefail
cd "$(dirname "$0")/.."
python3 Tests/HouseRules/rules.py
