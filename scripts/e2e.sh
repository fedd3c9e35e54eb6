#!/bin/bash
# The main job, end to end, with real machines (QEMU), real firmware, real Debian:
# a BIOS and a UEFI machine from empty disk to SSH, through a kill of the control plane and a power cut;
# then the same machines boot from the network again and must keep their systems, also when the
# record comes from a backup that is older than they are; and other people's DHCP, TFTP and HTTP clients.
cd "$(dirname "$0")/.."
work=$(mktemp -d /tmp/hostler-e2e.XXXXXX)
LAB=e2e$$ LABS=$work/labs STATE=$work/state API=$((20000 + $$ % 20000)) PREFIX=10.77.0.1/24
. scripts/lab.sh
mkdir -p "$STATE" "$LABS"

perf=hostler-perf-$$
passed=0
pass() { passed=$((passed + 1)); echo "ok $passed - $*"; }
end() {
    local code=$?
    set +e
    [ $code = 0 ] || {
        echo "--- serve.log"; tail -40 "$STATE/serve.log"
        for log in "$LABS/$LAB"/machines/*/console.log; do echo "--- $log"; tail -c 3000 "$log" | tr -d '\000\033\r'; done
        as_admin operation list 2>/dev/null || true
    } >&2
    [ -z "${server:-}" ] || kill "$server" 2>/dev/null || true
    ip netns del "$perf" 2>/dev/null || true
    lab down >/dev/null 2>&1 || true
    rm -rf "$work"
    [ $code != 0 ] || echo "$passed passed, 0 failed"
}
trap end EXIT

step_is() { # operation step state [percent]
    as_admin operation show "$1" --output json | python3 -c '
import json, sys
name, state, percent = sys.argv[1], sys.argv[2], float(sys.argv[3])
for step in json.load(sys.stdin)["steps"]:
    if step["name"] == name:
        progress = step.get("progress") or {"done": 0, "total": 1}
        sys.exit(0 if step["state"] == state and 100 * progress["done"] >= percent * progress["total"] else 1)
sys.exit(1)' "$2" "$3" "${4:-0}"
}
operation_state() {
    as_admin operation show "$1" --output json | python3 -c 'import json, sys; print(json.load(sys.stdin)["state"])'
}
has_ended() { [ "$(operation_state "$1")" != running ]; }
installs_of() {
    as_admin operation list --output json | python3 -c '
import json, sys
operations = json.load(sys.stdin)
operations = operations.get("items", operations) if isinstance(operations, dict) else operations
print(sum(o["machine"] == sys.argv[1] and o["kind"] == "install" for o in operations))' "$1"
}
answers() { timeout 40 scripts/ssh.sh "$LAB" "$STATE" "$1" true 2>/dev/null; }
run_on() { timeout 60 scripts/ssh.sh "$LAB" "$STATE" "$@"; }
start_install() { as_admin machine install "$1" --image debian-12 --hostname "$2" --ssh-key "$STATE/key.pub" \
    --user-data "$work/user-data" --no-wait | grep -o 'op-[0-9a-z]*' | head -1; }

say "a rack of one BIOS and one UEFI machine"
use_images
ssh-keygen -q -t ed25519 -N "" -f "$STATE/key"
printf '#cloud-config\nwrite_files:\n- path: /etc/from-user-data\n  content: applied\n' >"$work/user-data"
lab up --machines 2 --uefi 1 --no-power-on >/dev/null
start_server
as_admin backup "$work/yesterday.db" >/dev/null
pass "the lab and the server are up; a backup is taken"

say "other people's clients"
in_lab() { ip netns exec "hostler-$LAB" "$@"; }
in_lab curl -fsS -r 100-199 -o "$work/range" http://10.77.0.1:8080/boot/vmlinuz
cmp "$work/range" <(tail -c +101 out/boot/vmlinuz | head -c 100) || fail "curl -r got other bytes"
pass "curl -r gets just the range"
etag=$(in_lab curl -fsSI http://10.77.0.1:8080/boot/vmlinuz | tr -d '\r' | awk 'tolower($1) == "etag:" { print $2 }')
[ "$(in_lab curl -sS -o /dev/null -w '%{http_code}' -H "If-None-Match: $etag" http://10.77.0.1:8080/boot/vmlinuz)" = 304 ] ||
    fail "the ETag is not honoured"
pass "an ETag that matches gets 304"
(cd "$work" && in_lab tftp -m binary 10.77.0.1 -c get undionly.kpxe)
cmp "$work/undionly.kpxe" out/boot/undionly.kpxe || fail "tftp got other bytes"
pass "tftp-hpa gets undionly.kpxe"
# perfdhcp speaks as a relay on port 67, which is taken in the lab's namespace: it gets one of its own.
perf_dhcp() {
    ip netns add "$perf"
    ip link add perf0 netns "$perf" type veth peer name perf1 netns "hostler-$LAB"
    in_lab ip link set perf1 master rack0
    in_lab ip link set perf1 up
    ip -n "$perf" addr add 10.77.0.2/24 dev perf0
    ip -n "$perf" link set perf0 up
    ip netns exec "$perf" perfdhcp -4 -l perf0 -R 100 -p 5 -r 1000 -W 2000000 10.77.0.1 >"$work/perfdhcp" 2>&1 || true
    ip netns del "$perf"
    grep -E "^(drops|rate|Rate|sent|received)" "$work/perfdhcp" || true
    [ "$(grep -E '^drops: ' "$work/perfdhcp" | sort -u)" = "drops: 0" ]
}
perf_dhcp || { cat "$work/perfdhcp"; fail "perfdhcp saw drops at 1,000/s"; }
pass "perfdhcp gets leases at 1,000 a second with no drop"

say "discovery"
lab power node1 on >/dev/null
lab power node2 on >/dev/null
wait_for 300 "node1 (BIOS) is discovered and inspected" is_ready node1
wait_for 300 "node2 (UEFI) is discovered and inspected" is_ready node2
bios=$(id_of node1) uefi=$(id_of node2)
as_admin machine show "$uefi" | grep -q '^firmware: *uefi' || fail "the UEFI machine is not known as one"
pass "both machines are discovered with their inventory"

say "installation of the BIOS machine, with a kill -9 of the control plane in the middle of the write"
one=$(start_install "$bios" web-1)
wait_for 300 "the write is on its way" step_is "$one" write-image running 20
kill -9 "$server"; wait "$server" 2>/dev/null || true
sleep 3
start_server
wait_for 900 "the installation ends" has_ended "$one"
[ "$(operation_state "$one")" = succeeded ] || fail "the installation ended $(operation_state "$one")"
[ "$(run_on "$bios" hostname)" = web-1 ] || fail "the host name was not applied"
[ "$(run_on "$bios" cat /etc/from-user-data)" = applied ] || fail "user-data was not applied"
[ "$(installs_of "$bios")" = 1 ] || fail "more than one install"
pass "BIOS: from empty disk to SSH with host name, key and user-data, through a kill -9 of the control plane"

say "installation of the UEFI machine, with a power cut in the middle of the write"
two=$(start_install "$uefi" web-2)
wait_for 300 "the write is on its way" step_is "$two" write-image running 20
lab power node2 cut >/dev/null
sleep 2
lab power node2 on >/dev/null
wait_for 900 "the installation ends" has_ended "$two"
[ "$(operation_state "$two")" = succeeded ] || fail "the installation ended $(operation_state "$two")"
[ "$(run_on "$uefi" hostname)" = web-2 ] || fail "the host name was not applied"
[ "$(installs_of "$uefi")" = 1 ] || fail "more than one install"
pass "UEFI: from empty disk to SSH, through a power cut"
lab power node2 off >/dev/null || lab power node2 cut >/dev/null

say "the BIOS machine boots from the network again"
before=$(run_on "$bios" cat /proc/sys/kernel/random/boot_id)
came_back() { local now; now=$(run_on "$bios" cat /proc/sys/kernel/random/boot_id 2>/dev/null) && [ -n "$now" ] && [ "$now" != "$before" ]; }
lab power node1 cycle >/dev/null
wait_for 400 "the machine is back on its own disk" came_back
[ "$(installs_of "$bios")" = 1 ] || fail "it was installed again"
pass "a running machine that boots from the network goes to its local disk"

say "the same with yesterday's backup"
kill "$server"; wait "$server" 2>/dev/null || true
as_admin restore "$work/yesterday.db" --yes >/dev/null
start_server
[ -z "$(id_of node1)" ] || fail "yesterday's backup knows the machine"
lab power node1 cycle >/dev/null
adopted() { local id; id=$(id_of node1); [ -n "$id" ] && [ "$(state_of "$id")" = running ]; }
wait_for 400 "the machine is adopted with the system it has" adopted
bios=$(id_of node1)
back_up() { [ "$(run_on "$bios" hostname 2>/dev/null)" = web-1 ]; }
wait_for 400 "its own system answers" back_up
[ "$(run_on "$bios" cat /etc/from-user-data)" = applied ] || fail "its disk was written again"
[ "$(installs_of "$bios")" = 0 ] || fail "it was installed again"
pass "with yesterday's backup, it goes to its local disk all the same"

say "the lab leaves no trace"
kill "$server"; wait "$server" 2>/dev/null || true
server=
lab down >/dev/null
! ip netns list | grep -q "hostler-$LAB" || fail "the namespace is left"
! pgrep -f "hostler-$LAB" >/dev/null || fail "a process is left"
pass "hostler lab down removes every trace"
