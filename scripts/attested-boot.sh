#!/bin/bash
# An attested boot, for real: a virtual machine with UEFI firmware and a TPM (swtpm) boots the agent from the
# network, is enrolled, boots again and is found good; with one changed byte in its kernel it gets no image, and the
# event says which register differs. Needs root, for a network namespace of its own, and what machines boot.
# BOOT: the folder of vmlinuz, hostler-initrd.img and iPXE (out/boot); HOSTLER: the server (out/bin/hostler).
set -euo pipefail
cd "$(dirname "$0")/.."
scripts/deps.sh
hostler=$(realpath "${HOSTLER:-out/bin/hostler}")
boot=$(realpath "${BOOT:-out/boot}")
space=hostler-tpm-$$
work=$(mktemp -d)
child=
clean() {
    if [ -n "$child" ]; then kill "$child" 2>/dev/null || true; wait "$child" 2>/dev/null || true; fi
    ip netns del "$space" 2>/dev/null || true
    if [ -n "${KEEP:-}" ]; then mkdir -p "$KEEP" && cp "$work"/*.log "$KEEP" 2>/dev/null || true; fi
    rm -rf "$work"
}
trap clean EXIT
ip netns add "$space"
ip -n "$space" link set lo up
ip -n "$space" link add rack0 type bridge
ip -n "$space" address add 10.79.0.1/24 dev rack0
ip -n "$space" link set rack0 up
ip -n "$space" tuntap add tap0 mode tap
ip -n "$space" link set tap0 master rack0 up

HOSTLER=$hostler BOOT=$boot SPACE=$space WORK=$work python3 scripts/attested_boot.py &
child=$!
wait "$child"
