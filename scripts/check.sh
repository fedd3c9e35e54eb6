#!/bin/bash
# Format and house rules. Warnings as errors are the compiler's part: see `make unit`.
set -euo pipefail
cd "$(dirname "$0")/.."
swift format lint --strict --recursive --parallel --configuration .swift-format Package.swift Sources Tests
python3 Tests/HouseRules/rules.py
