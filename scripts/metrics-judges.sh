#!/bin/bash
# Outside judges of /metrics: Prometheus' own promtool (from Debian's package, unpacked and not installed) and its
# Python client's parser (PyPI). A server with two virtual BMCs is asked, one of them with a broken fan's worth of
# readings. Installs what is missing; ends with “N passed, M failed”.
#
#   HOSTLER   the program (out/bin/hostler, else .build/debug/hostler)
set -uo pipefail
cd "$(dirname "$0")/.."
hostler=${HOSTLER:-}
[ -n "$hostler" ] || for hostler in out/bin/hostler .build/debug/hostler; do [ -x "$hostler" ] && break; done
[ -x "$hostler" ] || { echo "no $hostler: make binaries first" >&2; exit 2; }
hostler=$(realpath "$hostler")
unset REQUESTS_CA_BUNDLE CURL_CA_BUNDLE SSL_CERT_FILE SSL_CERT_DIR
cache=${CACHE_HOME:-$HOME/.cache/hostler}/metrics-judges
mkdir -p "$cache"
if [ ! -x "$cache/venv/bin/python" ] || ! "$cache/venv/bin/python" -c 'import prometheus_client' 2>/dev/null; then
    python3 -m venv "$cache/venv" && "$cache/venv/bin/pip" install -q prometheus_client || { echo "the Python client cannot be installed" >&2; exit 2; }
fi
if [ ! -x "$cache/promtool" ]; then
    (cd "$cache" && apt-get download -q prometheus >/dev/null && dpkg-deb --fsys-tarfile prometheus_*.deb | tar -xO ./usr/bin/promtool >promtool &&
        chmod +x promtool && rm -f prometheus_*.deb) || { rm -f "$cache/promtool"; echo "promtool cannot be had; judged without it" >&2; }
fi

work=$(mktemp -d)
pids=()
finish() {
    for pid in "${pids[@]}"; do kill "$pid" 2>/dev/null; done
    wait "${pids[@]}" 2>/dev/null
    rm -rf "$work"
}
trap finish EXIT
. scripts/judging.sh

"$hostler" lab bmc simulate --count 2 --port 0 >"$work/bmcs" 2>&1 &
pids+=($!)
for _ in $(seq 100); do [ "$(grep -c '^certificate' "$work/bmcs")" = 2 ] && break; sleep 0.1; done
printf 'health: {everySeconds: 10, confirmations: 1, thresholds: [{sensor: "Inlet*", above: 20}], holdOn: [temperature]}\n' >"$work/hostler.yaml"
port=$(python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
"$hostler" serve --config "$work/hostler.yaml" --state-dir "$work/state" --api-port "$port" >"$work/serve.log" 2>&1 &
pids+=($!)
export HOSTLER_STATE_DIR=$work/state
tell() { "$hostler" "$@"; }
for _ in $(seq 150); do [ -s "$work/state/admin.json" ] && tell status >/dev/null 2>&1 && break; sleep 0.2; done
while read -r url user password; do
    HOSTLER_BMC_PASSWORD=$password tell bmc add "${url%/redfish/*}" --user "$user" >/dev/null || { cat "$work/serve.log" >&2; exit 2; }
done < <(grep ^http "$work/bmcs")
token=$(tell token create prometheus --role viewer | grep -o 'hst_[^ ]*' | head -1)
fetch() { curl -sS --cacert "$work/state/tls/ca.pem" -H "Authorization: Bearer $token" "https://127.0.0.1:$port/metrics"; }
# A BMC is taken care of from the sweep after it was added, and its sensors are read within their interval.
for _ in $(seq 120); do [ "$(fetch | grep -c '^hostler_sensor_temperature_celsius')" = 4 ] && break; sleep 0.5; done
fetch >"$work/metrics"

judge "both BMCs' sensors are told" [ "$(grep -c '^hostler_sensor_temperature_celsius' "$work/metrics")" = 4 ]
judge "an operator's threshold makes a fault" grep -q '^hostler_machine_hardware_faults{.*health="critical"} 1$' "$work/metrics"
judge "the fault is an event" sh -c "'$hostler' event list -o json | grep -q hardware.fault"
judge "Prometheus' Python parser reads every sample" "$cache/venv/bin/python" - "$work/metrics" <<'END'
import sys
from prometheus_client.parser import text_string_to_metric_families
text = open(sys.argv[1]).read()
families = list(text_string_to_metric_families(text))
samples = sum(len(family.samples) for family in families)
lines = [line for line in text.splitlines() if line and not line.startswith("#")]
assert samples == len(lines) > 50, (samples, len(lines))
assert all(family.type in ("gauge", "counter") and family.documentation for family in families)
print(f"{len(families)} families, {samples} samples")
END
[ ! -x "$cache/promtool" ] || judge "promtool check metrics" sh -c "'$cache/promtool' check metrics <'$work/metrics'"
judge "no token, no metrics" [ "$(curl -s -o /dev/null -w '%{http_code}' --cacert "$work/state/tls/ca.pem" "https://127.0.0.1:$port/metrics")" = 401 ]
[ "$failed" = 0 ] || { cat "$work/metrics"; tail -20 "$work/serve.log"; } >&2
verdict
