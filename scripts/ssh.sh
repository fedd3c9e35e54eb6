#!/bin/bash
# ssh.sh LAB STATE MACHINE COMMAND…: a command on a lab machine, by the address that the record has now.
set -euo pipefail
lab=$1 state=$2 machine=$3
shift 3
address=$(out/bin/hostler machine show "$machine" --output json --state-dir "$state" |
    python3 -c 'import json, sys; print(json.load(sys.stdin)["observed"]["address"])')
exec ip netns exec "hostler-$lab" ssh -i "$state/key" -o BatchMode=yes -o StrictHostKeyChecking=no \
    -o UserKnownHostsFile=/dev/null -o LogLevel=ERROR -o ConnectTimeout=10 "debian@$address" "$@"
