#!/bin/bash
# Figures beside the peers', in one run on one machine: see docs/benchmarks.md for what was measured.
# This covers DHCP (Kea, dnsmasq), HTTP (nginx), TFTP (tftpd-hpa), memory and sizes.
cd "$(dirname "$0")/.."
exec python3 scripts/bench.py
