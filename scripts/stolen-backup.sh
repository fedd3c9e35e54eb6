#!/bin/bash
# A thief with a backup, against a real server: a machine is played over the wire, then every backup of its server is
# searched for what is secret, and for what secrets could be computed from; then it is restored with and without its keys.
# Needs root, for network namespaces of its own. Run after `swift build`; HOSTLER names the binary. FORMER may name one of
# a version whose keys were derived: then its store is taken over, and the thief must succeed with its backup.
set -euo pipefail
cd "$(dirname "$0")/.."
hostler=$(realpath "${HOSTLER:-.build/debug/hostler}")
former=${FORMER:+$(realpath "$FORMER")}

space=hostler-thief-$$
work=$(mktemp -d)
pids=()
clean() {
    for pid in "${pids[@]}"; do kill "$pid" 2>/dev/null || true; done
    for pid in "${pids[@]}"; do wait "$pid" 2>/dev/null || true; done
    ip netns del "$space" 2>/dev/null || true
    ip netns del "$space-m" 2>/dev/null || true
    rm -rf "$work"
}
trap clean EXIT
for name in "$space" "$space-m"; do
    ip netns add "$name"
    ip -n "$name" link set lo up
done
ip -n "$space" link add rack0 type veth peer name eth0 netns "$space-m"
ip -n "$space" address add 10.78.0.1/24 dev rack0
ip -n "$space" link set rack0 up
ip -n "$space-m" link set eth0 address 52:54:00:aa:00:01
ip -n "$space-m" address add 10.78.0.2/24 dev eth0
ip -n "$space-m" link set eth0 up
ip -n "$space-m" route add 169.254.169.254 dev eth0

HOSTLER=$hostler FORMER=$former SPACE=$space WORK=$work python3 scripts/stolen_backup.py &
pids+=($!)
wait "${pids[0]}"
