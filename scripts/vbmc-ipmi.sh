#!/bin/bash
# ipmitool judges the IPMI of our virtual BMC, on loopback. Installs it where it is missing; ends with “N passed, M failed”.
#   HOSTLER  the program (out/bin/hostler, else .build/debug/hostler)
set -uo pipefail
cd "$(dirname "$0")/.."
for program in out/bin/hostler .build/debug/hostler; do [ -n "${HOSTLER:-}" ] || [ ! -x "$program" ] || HOSTLER=$program; done
if ! command -v ipmitool >/dev/null; then
    sudo=$([ "$(id -u)" = 0 ] || echo sudo)
    DEBIAN_FRONTEND=noninteractive $sudo apt-get install -y -qq --no-install-recommends ipmitool >/dev/null || exit 1
fi
work=$(mktemp -d)
bmc=
trap '[ -z "$bmc" ] || kill "$bmc"; rm -rf "$work"' EXIT
passed=0 failed=0 suite=17

start() { # FAULT…
    [ -z "$bmc" ] || { kill "$bmc" && wait "$bmc" 2>/dev/null; }
    local faults=()
    for fault in "$@"; do faults+=(--fault "$fault"); done
    "$HOSTLER" lab bmc simulate --port 0 --plain --ipmi-port 0 "${faults[@]}" >"$work/out" 2>&1 &
    bmc=$!
    for _ in $(seq 100); do grep -q '^ipmi ' "$work/out" && break; sleep 0.1; done
    port=$(sed -n 's/^ipmi .*://p' "$work/out")
    redfish=$(sed -n 's/^\(http[^ ]*\) .*/\1/p' "$work/out")
    [ -n "$port" ] || { cat "$work/out"; echo "0 passed, 1 failed"; exit 1; }
}
talk() { IPMI_PASSWORD=${password:-hostler-lab} ipmitool -I lanplus -C "$suite" -H 127.0.0.1 -p "$port" -U "${user:-admin}" -E -N 1 -R 2 "$@" 2>&1; }
# expect TEXT VERB…: the answer has it.
expect() {
    local text=$1 said
    shift
    said=$(talk "$@")
    if [[ $said == *"$text"* ]]; then
        passed=$((passed + 1)); echo "PASS suite $suite: $*"
    else
        failed=$((failed + 1)); printf 'FAIL suite %s: %s\nwanted: %s\n%s\n' "$suite" "$*" "$text" "$said"
    fi
}

for suite in 3 17; do
    start
    expect "System Power         : off" chassis status
    expect "Up/On" chassis power on
    expect "Chassis Power is on" chassis power status
    expect "Set Boot Device to pxe" chassis bootdev pxe options=efiboot
    expect "Boot parameter data: a004000000" chassis bootparam get 5
    [[ $(curl -s -u admin:hostler-lab "${redfish}Systems/1") == *'"BootSourceOverrideTarget":"Pxe"'* ]] && passed=$((passed + 1)) ||
        { failed=$((failed + 1)); echo "FAIL Redfish does not show the boot device"; }
    expect "Reset" chassis power reset
    expect "Boot parameter data: 0000000000" chassis bootparam get 5
    expect "Set Boot Device to disk" chassis bootdev disk options=efiboot,persistent
    expect "Boot parameter data: e008000000" chassis bootparam get 5
    expect "Set Boot Device to none" chassis bootdev none
    expect "Boot parameter data: 0000000000" chassis bootparam get 5
    expect "Cycle" chassis power cycle
    expect "Soft" chassis power soft
    expect "Chassis Power is off" chassis power status
    expect "IPMI Version              : 2.0" mc info
    expect "System GUID" mc guid
    expect "Product Serial" fru print
    expect "admin" user list
    expect "sha256_128" channel getciphers ipmi
    password=wrong expect "Unable to establish" chassis status
    user=nobody expect "Unable to establish" chassis status
done
# Without a word which: ipmitool asks and takes the best.
said=$(IPMI_PASSWORD=hostler-lab ipmitool -I lanplus -H 127.0.0.1 -p "$port" -U admin -E chassis power status 2>&1)
[[ $said == *"Chassis Power is off"* ]] && passed=$((passed + 1)) || { failed=$((failed + 1)); echo "FAIL no suite named: $said"; }
start lie
expect "Up/On" chassis power on
expect "Chassis Power is off" chassis power status
start forget-boot
expect "Set Boot Device to pxe" chassis bootdev pxe options=efiboot
start hang
expect "Unable to establish" chassis power status
echo "$passed passed, $failed failed"
[ "$failed" = 0 ]
