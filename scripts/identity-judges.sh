#!/bin/bash
# Other people's programs judge the identities that Hostler gives: PyJWT as a relying party, OpenSSL as a
# reader of instance identity documents, OpenSSH's sshd and ssh with certificates. Needs root, for a network
# namespace of its own. Run after `swift build`; HOSTLER names the binary.
set -euo pipefail
cd "$(dirname "$0")/.."
scripts/deps.sh
hostler=$(realpath "${HOSTLER:-.build/debug/hostler}")
tools=${CACHE_HOME:-$HOME/.cache/hostler}/identity-judges
[ -x "$tools/bin/python" ] || python3 -m venv "$tools"
"$tools/bin/python" -c 'import jwt, cryptography' 2>/dev/null || "$tools/bin/pip" install -q 'PyJWT[crypto]>=2.8'

space=hostler-judge-$$
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
# The machine is in a namespace of its own: what identifies it is the frames of its port.
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

HOSTLER=$hostler SPACE=$space WORK=$work "$tools/bin/python" scripts/identity_judges.py &
pids+=($!)
wait "${pids[0]}"
