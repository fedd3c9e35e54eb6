#!/bin/bash
# Outside judges of the virtual BMC: the DMTF's validators and the Python libraries sushy and redfish, unmodified.
#
#   HOSTLER          the program (out/bin/hostler, else .build/debug/hostler)
#   REDFISH_SCHEMAS  a folder with the DMTF's CSDL files (DSP8010), where there is one
# shellcheck disable=SC2317
set -uo pipefail
cd "$(dirname "$0")/.."
hostler=${HOSTLER:-}
[ -n "$hostler" ] || for hostler in out/bin/hostler .build/debug/hostler; do [ -x "$hostler" ] && break; done
[ -x "$hostler" ] || { echo "no $hostler: make binaries first" >&2; exit 2; }
work=$(mktemp -d)
bmc=
trap '[ -z "$bmc" ] || kill "$bmc" 2>/dev/null; rm -rf "$work"' EXIT
. scripts/judging.sh
# The environment may name certificate bundles, which requests takes before what the tools were told.
unset REQUESTS_CA_BUNDLE CURL_CA_BUNDLE SSL_CERT_FILE SSL_CERT_DIR

cache=${CACHE_HOME:-$HOME/.cache/hostler}/vbmc-judges
if ! [ -x "$cache/venv/bin/rf_service_validator" ]; then
    mkdir -p "$cache"
    python3 -m venv "$cache/venv"
    "$cache/venv/bin/pip" install -q redfish_service_validator==3.1.8 redfish_protocol_validator==1.3.2 \
        sushy==5.14.0 redfish==3.4.2 || { echo "the judges cannot be installed" >&2; exit 2; }
fi
export PATH="$cache/venv/bin:$PATH"

"$hostler" lab bmc simulate --port 0 --ipmi-port 0 >"$work/bmc.log" 2>&1 &
bmc=$!
for _ in $(seq 100); do grep -q '^certificate' "$work/bmc.log" && break; sleep 0.1; done
url=$(sed -n 's|^\(https://[^/]*\)/.*|\1|p' "$work/bmc.log")
[ -n "$url" ] || { cat "$work/bmc.log" >&2; exit 2; }
openssl s_client -connect "${url#https://}" </dev/null 2>/dev/null | openssl x509 >"$work/bmc.pem"
curl -sS --cacert "$work/bmc.pem" "$url/redfish/v1/\$metadata" >"$work/metadata.xml"

# The schemas: the DMTF's own pack where it can be had, else made of what PyPI has of it (docs/virtual-bmc.md).
schemas=${REDFISH_SCHEMAS:-}
if [ -z "$schemas" ] && curl -sf -m 10 https://redfish.dmtf.org/schemas/v1/info.json -o "$work/info.json"; then
    schemas=$cache/DSP8010
    mkdir -p "$schemas"
    [ -e "$schemas/ComputerSystem_v1.xml" ] || {
        curl -sfL https://www.dmtf.org/sites/default/files/standards/documents/DSP8010.zip -o "$work/pack.zip" &&
            python3 -c 'import os, sys, zipfile
for name in (pack := zipfile.ZipFile(sys.argv[1])).namelist():
    if name.endswith(".xml"): open(os.path.join(sys.argv[2], os.path.basename(name)), "wb").write(pack.read(name))' \
                "$work/pack.zip" "$schemas"
    }
fi
if [ -n "$schemas" ] && [ -e "$schemas/ComputerSystem_v1.xml" ]; then
    echo "schemas: the DMTF's pack in $schemas"
else
    schemas=$work/schemas
    [ -d "$cache/definitions" ] || {
        mkdir -p "$cache/download" "$cache/definitions"
        pip download -q --no-deps -d "$cache/download" oneview-redfish-toolkit==0.4.0 mirastack-redfish-mcp==0.1.2
        tar xzf "$cache/download"/oneview*.tar.gz -C "$cache/definitions" --strip-components 1
        python3 -m zipfile -e "$cache/download"/mirastack*.whl "$cache/definitions"
    }
    python3 scripts/vbmc-schemas.py "$cache/definitions/oneview_redfish_toolkit/schemas" \
        "$cache/definitions/mirastack_redfish_mcp/data/redfish_index.json.gz" "$work/metadata.xml" "$schemas" |
        tail -1 | sed 's/^/schemas: made here, /'
fi

# No error; and no resource passed over because its schema was not there, which the validator only warns of.
service_validator() {
    rf_service_validator --rhost "$url" -u admin -p hostler-lab --skipschema --schema_directory "$schemas" \
        --logdir "$work/service" >"$work/service.out" 2>&1
    local numbers
    numbers=$(grep -E '^\| +[^ ]*[0-9]' "$work/service.out" | sed 's/\x1b\[[0-9;]*m//g' | tr -d ' ')
    echo "     pass|warn|fail|not tested: $numbers"
    grep -hE ' (WARN|FAIL) - ' "$work"/service/*/*.log | sed 's/.* - \(WARN\|FAIL\) - /     \1 /' | sort | uniq -c
    local pass fail
    pass=$(cut -d'|' -f2 <<<"$numbers")
    fail=$(cut -d'|' -f4 <<<"$numbers")
    [ "$fail" = 0 ] && [ "${pass:-0}" -gt 700 ] &&
        ! grep -qh 'Unable to locate the schema definition' "$work"/service/*/*.log
}

# Failures that docs/virtual-bmc.md explains; any other is a failure of ours.
protocol_validator() {
    rf_protocol_validator -r "$url" -u admin -p hostler-lab --ca-bundle "$work/bmc.pem" --report-dir "$work/protocol" \
        --report-type tsv >"$work/protocol.out" 2>&1
    grep '^Summary' "$work/protocol.out" | sed 's/^/     /'
    python3 - "$work"/protocol/*.tsv docs/virtual-bmc.md <<'PYTHON'
import csv, sys
explained = open(sys.argv[2]).read()
unexplained = rows = 0
for row in csv.reader(open(sys.argv[1]), delimiter="\t"):
    rows += "PASS" in row
    if "FAIL" in row or "WARN" in row:
        known = f"`{row[0]}`" in explained
        unexplained += not known
        print("    ", "explained" if known else "NOT EXPLAINED", " ".join(row[:5]))
sys.exit(unexplained > 0 or rows < 300)
PYTHON
}

judge "redfish-service-validator: no error, all schemas found" service_validator
judge "redfish-protocol-validator: all failures explained" protocol_validator
judge "sushy: switches on, sets HTTP boot, inserts an ISO" python3 scripts/vbmc-sushy.py "$url" "$work/bmc.pem"
judge "redfish library: switches on, sets HTTP boot, inserts an ISO" python3 scripts/vbmc-redfish.py "$url" "$work/bmc.pem"
verdict
