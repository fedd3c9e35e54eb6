# What demo, e2e and bench share: a lab and a server of their own, and their end. To be sourced.
#
#   LAB       the lab's name      LABS  where labs keep their files
#   STATE     the server's state  API   the API's port
set -euo pipefail
hostler() { out/bin/hostler "$@"; }
as_admin() { out/bin/hostler "$@" --state-dir "$STATE"; }
lab() { local verb=$1; shift; out/bin/hostler lab "$verb" --name "$LAB" --state-dir "$LABS" "$@"; }
say() { printf '\n== %s\n' "$*"; }
fail() { echo "FAILED: $*" >&2; exit 1; }

# The images of `make image`, without copying their blobs.
use_images() {
    mkdir -p "$STATE/images"
    cp -al "${CACHE_HOME:-$HOME/.cache/hostler}/state/images/." "$STATE/images/" 2>/dev/null ||
        cp -a "${CACHE_HOME:-$HOME/.cache/hostler}/state/images/." "$STATE/images/"
}

start_server() {
    out/bin/hostler serve --state-dir "$STATE" --boot-files out/boot --lab "$LAB" --policy discover --api-port "$API" \
        ${PREFIX:+--address "$PREFIX"} >>"$STATE/serve.log" 2>&1 &
    server=$!
    echo "$server" >"$STATE/serve.pid"
    for _ in $(seq 100); do
        [ -e "$STATE/admin.json" ] && as_admin status >/dev/null 2>&1 && return
        kill -0 "$server" 2>/dev/null || { tail -20 "$STATE/serve.log" >&2; fail "hostler serve has ended"; }
        sleep 0.2
    done
    tail -20 "$STATE/serve.log" >&2
    fail "hostler serve does not answer"
}

# wait_for SECONDS WHAT COMMAND…: until the command succeeds.
wait_for() {
    local seconds=$1 what=$2 end
    shift 2
    end=$((SECONDS + seconds))
    until "$@"; do
        [ $SECONDS -lt $end ] || fail "$what: not within $seconds s"
        sleep 1
    done
}

# The machine (id) of a lab machine, by its MAC address; empty if the record has none.
id_of() {
    local mac
    mac=$(lab status | awk -v name="$1" '$1 == name { print $3 }')
    as_admin machine list --output json | python3 -c '
import json, sys
machines = json.load(sys.stdin)
machines = machines.get("items", machines) if isinstance(machines, dict) else machines
for machine in machines:
    if any(port["mac"] == sys.argv[1] for port in machine["interfaces"]):
        print(machine["id"])' "$mac"
}
state_of() {
    as_admin machine show "$1" --output json | python3 -c 'import json, sys; print(json.load(sys.stdin)["state"])'
}
is_ready() { local id; id=$(id_of "$1"); [ -n "$id" ] && [ "$(state_of "$id")" = ready ]; }
