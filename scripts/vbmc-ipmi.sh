#!/bin/bash
# ipmitool and FreeIPMI's ipmiconsole judge the IPMI of our virtual BMC, on loopback. Installs them where they are missing;
# ends with “N passed, M failed”.
#   HOSTLER  the program (out/bin/hostler, else .build/debug/hostler)
set -uo pipefail
cd "$(dirname "$0")/.."
for program in out/bin/hostler .build/debug/hostler; do [ -n "${HOSTLER:-}" ] || [ ! -x "$program" ] || HOSTLER=$program; done
# ipmiconsole speaks to port 623 alone: it gets a network of its own.
if [ "${1:-}" != inside ]; then
    if ! command -v ipmitool >/dev/null || ! PATH=$PATH:/usr/sbin command -v ipmiconsole >/dev/null; then
        sudo=$([ "$(id -u)" = 0 ] || echo sudo)
        DEBIAN_FRONTEND=noninteractive $sudo apt-get install -y -qq --no-install-recommends ipmitool freeipmi-tools >/dev/null || exit 1
    fi
    user=$([ "$(id -u)" = 0 ] || echo --map-root-user)
    HOSTLER=${HOSTLER:-} exec unshare $user --net "scripts/$(basename "$0")" inside
fi
PATH=$PATH:/usr/sbin
ip link set lo up || exit 1
work=$(mktemp -d)
bmc=
trap '[ -z "$bmc" ] || kill "$bmc"; rm -rf "$work"' EXIT
. scripts/judging.sh
suite=17

start() { # FAULT…
    [ -z "$bmc" ] || { kill "$bmc" && wait "$bmc" 2>/dev/null; }
    local faults=()
    for fault in "$@"; do faults+=(--fault "$fault"); done
    "$HOSTLER" lab bmc simulate --port 0 --plain --ipmi-port "${fixed:-0}" "${faults[@]}" >"$work/out" 2>&1 &
    bmc=$!
    for _ in $(seq 300); do grep -q '^ipmi ' "$work/out" && break; sleep 0.1; done
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

# Serial over LAN. SAID is what the console's terminal showed.
console() { # STEP… -- PROGRAM…
    local name=$1
    shift
    if said=$(IPMI_PASSWORD=hostler-lab python3 scripts/terminal.py "$@" 2>&1); then
        passed=$((passed + 1)); echo "PASS $name"
    else
        failed=$((failed + 1)); printf 'FAIL %s\n%s\n' "$name" "$said"
    fi
}
fixed=623 start
for suite in 3 17; do
    ipmitool="ipmitool -I lanplus -C $suite -H 127.0.0.1 -U admin -E -N 1 -R 3"
    expect "Enabled                         : true" sol info
    expect "Payload Port                    : 623" sol info
    expect "Force Encryption                : true" sol info
    expect "User 2 on channel 1 is enabled" sol payload status 1 2
    expect "Up/On" chassis power on
    console "suite $suite: ipmitool reads the banner, types, sends a break and leaves" \
        'expect:sim1> ' 'type:hello\r' 'expect:you typed: hello' 'type:~B' 'expect:<break>' 'type:\r~.' end -- $ipmitool sol activate
    console "suite $suite: a second console is refused, and the first one goes on" \
        'expect:sim1> ' "run:$ipmitool sol activate 2>&1 | grep -q 'SOL payload already active on another session'" \
        'type:still here\r' 'expect:you typed: still here' 'type:~.' end -- $ipmitool sol activate
    console "suite $suite: sol deactivate takes it away, and another gets it" \
        'expect:sim1> ' "run:$ipmitool sol deactivate" 'type:x' 'expect:closed by BMC' end -- $ipmitool sol activate
    console "suite $suite: the line is there through a power cycle; what is typed while it is off is lost" \
        'expect:sim1> ' "run:$ipmitool power off" 'pause:1' 'type:lost' 'pause:1' "run:$ipmitool power on" 'expect:sim1> ' \
        'type:kept\r' 'expect:you typed: kept' 'type:~.' end -- $ipmitool sol activate
    [[ $said != *lost* ]] || { failed=$((failed + 1)); echo "FAIL what was typed while it was off was typed after all"; }
    ipmiconsole="ipmiconsole -h 127.0.0.1 -u admin -P -I $suite"
    console "suite $suite: ipmiconsole reads the banner, types and leaves" \
        'expect:Password: ' 'type:hostler-lab\r' 'expect:sim1> ' 'type:hello\r' 'expect:you typed: hello' 'type:&.' 'expect:closing' end -- \
        $ipmiconsole
    console "suite $suite: ipmiconsole keeps what is typed until the machine is on" \
        'expect:Password: ' 'type:hostler-lab\r' 'expect:sim1> ' "run:$ipmitool power off" 'pause:1' 'type:kept' 'pause:1' \
        "run:$ipmitool power on" 'expect:sim1> ' 'type:\r' 'expect:you typed: kept' 'type:&.' 'expect:closing' end -- $ipmiconsole
    console "suite $suite: ipmiconsole is told that another took it" \
        'expect:Password: ' 'type:hostler-lab\r' 'expect:sim1> ' "run:$ipmitool sol deactivate" 'expect:SOL session stolen' end -- $ipmiconsole
    expect "" sol set enabled false
    expect "SOL payload disabled" sol activate
    expect "" sol set enabled true
    expect "Enabled                         : true" sol info
done
fixed=623 start drop=4
expect "Up/On" chassis power on
console "one datagram in four is lost, and none of the text" \
    'expect:Password: ' 'type:hostler-lab\r' 'expect:sim1> ' 'type:all of this line arrives\r' 'expect:you typed: all of this line arrives' \
    'type:once more\r' 'expect:you typed: once more' 'type:&.' 'expect:closing' end -- $ipmiconsole
start lie
expect "Up/On" chassis power on
expect "Chassis Power is off" chassis power status
start forget-boot
expect "Set Boot Device to pxe" chassis bootdev pxe options=efiboot
start hang
expect "Unable to establish" chassis power status
verdict
