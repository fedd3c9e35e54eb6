#!/bin/bash
# Format, house rules, the packages that are built with, the unit's exposure. Warnings as errors are the compiler's part:
# see `make unit`.
set -euo pipefail
cd "$(dirname "$0")/.."
swift format lint --strict --recursive --parallel --configuration .swift-format Package.swift Sources Tests
python3 Tests/HouseRules/rules.py
scripts/dependencies.py
scripts/unit-exposure.sh
