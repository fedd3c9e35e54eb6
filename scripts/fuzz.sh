#!/bin/bash
# libFuzzer on every parser of what comes from a wire or a disk. SECONDS_EACH (60) seconds each.
set -euo pipefail
cd "$(dirname "$0")/.."
each=${SECONDS_EACH:-60}
out=.build-fuzz
mkdir -p "$out"
export SWIFT_BACKTRACE=enable=no
flags=(-O -swift-version 6 -parse-as-library -sanitize=fuzzer -wmo -I "$out"
    -enable-upcoming-feature InternalImportsByDefault -enable-upcoming-feature ExistentialAny)
objects=()
for module in Wire NetBoot HostFacts BlockIO OCI TPM Model Metadata; do
    mapfile -t files < <(find "Sources/$module" -name '*.swift')
    swiftc "${flags[@]}" -module-name $module -emit-module -emit-module-path "$out/$module.swiftmodule" \
        -emit-object -o "$out/$module.o" "${files[@]}"
    objects+=("$out/$module.o")
done
# Parsers whose module needs packages: only their own files, which need none.
declare -A parts=(
    [RMCP]="Sources/VirtualBMC/IPMI/IPMIDatagram.swift"
    [REDFISH]="$(echo Sources/Hardware/Redfish/JSON/*.swift) Sources/Hardware/Redfish/Events/ServerSentEvents.swift Sources/Hardware/Redfish/Events/BMCClock.swift"
)
for target in ${TARGETS:-DHCP TFTP ROUTER SMBIOS LLDP CHUNKS PARTITIONS TPMSTRUCTURES EVENTLOG METADATA RMCP REDFISH}; do
    # shellcheck disable=SC2086
    swiftc "${flags[@]}" -D $target -module-name Fuzz Fuzz/FuzzTarget.swift ${parts[$target]:-} "${objects[@]}" -o "$out/fuzz-$target"
    mkdir -p "$out/corpus-$target"
    echo "fuzzing $target for $each s"
    "$out/fuzz-$target" -max_total_time="$each" -timeout=10 -rss_limit_mb=2048 -max_len=4096 \
        -artifact_prefix="$out/crash-$target-" "$out/corpus-$target" 2>&1 | tail -3
done
echo "no crash"
