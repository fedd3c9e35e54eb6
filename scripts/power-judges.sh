#!/bin/bash
# Power by other means than a BMC, against other people's programs: net-snmp's snmpd as a PDU on loopback, and a
# sleeping machine's network card, played by a raw socket at the other end of a veth pair in a namespace of its own.
# Needs root. snmpd is unpacked from Debian's package, not installed. Ends with “N passed, M failed”.
set -uo pipefail
cd "$(dirname "$0")/.."
SWIFT=${SWIFT:-swift}
cache=${CACHE_HOME:-$HOME/.cache/hostler}/power-judges
scripts/deps.sh || exit 2
mkdir -p "$cache"
if [ ! -x "$cache/root/usr/sbin/snmpd" ]; then
    (cd "$cache" && apt-get download -q snmpd libsnmp40 >/dev/null 2>&1 || apt-get download -q snmpd libsnmp40t64 >/dev/null) || { echo "snmpd cannot be had" >&2; exit 2; }
    for package in "$cache"/*.deb; do dpkg-deb -x "$package" "$cache/root" && rm "$package"; done
fi
libraries=$(find "$cache/root/usr/lib" -maxdepth 2 -name 'libnetsnmp*.so*' -printf '%h\n' | sort -u | tr '\n' ':')
missing=$(LD_LIBRARY_PATH=$libraries ldd "$cache/root/usr/sbin/snmpd" | sed -n 's/^\s*\(\S*\) => not found/\1/p')
[ -z "$missing" ] || { echo "snmpd lacks $missing" >&2; exit 2; }
$SWIFT build --build-tests ${SWIFT_BUILD_FLAGS:-} >/dev/null || exit 2
tests=.build/debug/hostlerPackageTests.xctest

work=$(mktemp -d)
namespace=hostler-pj$$
pids=()
finish() {
    for pid in "${pids[@]}"; do kill "$pid" 2>/dev/null; done
    ip netns del "$namespace" 2>/dev/null
    rm -rf "$work"
}
trap finish EXIT
. scripts/judging.sh
run() { # FILTER
    timeout 120 "$tests" --testing-library swift-testing --no-parallel --filter "$1" >"$work/tests.log" 2>&1
    local status=$?
    grep -E '^(✔|✘) Test ' "$work/tests.log" | grep -v '^. Test run'
    # A filter that finds nothing, or finds what is switched off, proves nothing.
    [ $status = 0 ] && grep -qE '^✔ Test [^r]' "$work/tests.log"
}

# The PDU: APC's sPDUOutletCtl of outlet 3, which starts as off (2).
port=$(python3 -c 'import socket; s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
cat >"$work/snmpd.conf" <<END
rwcommunity hands 127.0.0.1
override -rw 1.3.6.1.4.1.318.1.1.4.4.2.1.3.3 integer 2
END
LD_LIBRARY_PATH=$libraries SNMP_PERSISTENT_DIR=$work/persistent "$cache/root/usr/sbin/snmpd" -f -Lf "$work/snmpd.log" -C -c "$work/snmpd.conf" \
    -I -smux,mteTrigger,mteTriggerConf "udp:127.0.0.1:$port" &
pids+=($!)
for _ in $(seq 50); do
    snmpget -v2c -c hands -t 1 -r 0 "127.0.0.1:$port" 1.3.6.1.4.1.318.1.1.4.4.2.1.3.3 >/dev/null 2>&1 && break
    sleep 0.1
done
HOSTLER_JUDGE_PDU=127.0.0.1:$port judge "net-snmp's agent is a PDU" run PDUJudgeTests

# The sleeping machine: what a card would wake from is a broadcast frame with the pattern anywhere in it.
ip netns add "$namespace"
ip -n "$namespace" link add lan0 type veth peer name card0
ip -n "$namespace" addr add 10.99.7.1/24 dev lan0
ip -n "$namespace" link set lan0 up
ip -n "$namespace" link set card0 up
ip -n "$namespace" route add default dev lan0
cat >"$work/card.py" <<'END'
import pathlib
import socket
import sys
pattern = b"\xff" * 6 + bytes.fromhex(sys.argv[1].replace(":", "")) * 16
card = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3))
card.bind(("card0", 0))
card.settimeout(60)
pathlib.Path(sys.argv[2]).touch()
while True:
    frame = card.recv(2048)
    if frame[:6] == b"\xff" * 6 and frame[12:14] == b"\x08\x00" and pattern in frame:
        print("awake")
        break
END
mac=02:04:06:08:0a:0c
ip netns exec "$namespace" python3 "$work/card.py" $mac "$work/listening" >"$work/card" &
card=$!
pids+=($card)
for _ in $(seq 50); do [ -e "$work/listening" ] && break; sleep 0.1; done
wake() {
    (export HOSTLER_JUDGE_SLEEPER=$mac
    timeout 60 ip netns exec "$namespace" "$tests" --testing-library swift-testing --no-parallel --filter SleeperJudgeTests >"$work/wake.log" 2>&1) &&
        wait $card && grep -qx awake "$work/card"
}
judge "a card at the other end of a wire sees the magic packet" wake
[ $failed = 0 ] || tail -n 20 "$work"/*.log >&2
verdict
