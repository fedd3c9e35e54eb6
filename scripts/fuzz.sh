#!/bin/bash
# libFuzzer on every parser of what comes from a wire, a disk, a machine or its BMC, by the path that the server and the
# agent take.
#
#   scripts/fuzz.sh [TARGET…]      without targets: all of them
#   FUZZ_SECONDS=60                for each target
#
# What was found interesting is kept in .build-fuzz/corpus-TARGET, and what crashed as .build-fuzz/crash-TARGET-….
set -euo pipefail
cd "$(dirname "$0")/.."
each=${FUZZ_SECONDS:-60}
out=.build-fuzz
mkdir -p "$out"
export SWIFT_BACKTRACE=enable=no
flags=(-O -swift-version 6 -parse-as-library -sanitize=fuzzer -wmo -I "$out"
    -enable-upcoming-feature InternalImportsByDefault -enable-upcoming-feature ExistentialAny)
all=(HELLO INVENTORY REPORT LOG TASK MARKERS BOOTSCRIPT PRINTABLE DHCP TFTP ROUTER SMBIOS LLDP CHUNKS PARTITIONS CONTENTS
    TPMSTRUCTURES EVENTLOG METADATA RMCP REDFISH)
targets=("$@")
[ ${#targets[@]} -gt 0 ] || targets=("${all[@]}")

objects=()
rebuilt=
for module in Wire NetBoot HostFacts BlockIO OCI TPM Model Metadata; do
    objects+=("$out/$module.o")
    if [ -z "$rebuilt" ] && [ -e "$out/$module.o" ] && [ -z "$(find "Sources/$module" -newer "$out/$module.o" -print -quit)" ]; then continue; fi
    # Those that follow may import it.
    rebuilt=yes
    mapfile -t files < <(find "Sources/$module" -name '*.swift')
    swiftc "${flags[@]}" -module-name $module -emit-module -emit-module-path "$out/$module.swiftmodule" \
        -emit-object -o "$out/$module.o" "${files[@]}"
done
# Parsers whose module needs packages: only their own files, which need none.
declare -A parts=(
    [REPORT]="$(echo Sources/Control/Operations/OperationTransition*.swift) Sources/Control/Operations/StepPolicy.swift Sources/Control/Agents/Sender.swift"
    [BOOTSCRIPT]="Sources/BootServices/HTTP/FormText.swift"
    [RMCP]="Sources/VirtualBMC/IPMI/IPMIDatagram.swift"
    [REDFISH]="$(echo Sources/Hardware/Redfish/JSON/*.swift) Sources/Hardware/Redfish/Events/ServerSentEvents.swift Sources/Hardware/Redfish/Events/BMCClock.swift"
)
declare -A longest=([CONTENTS]=16384 [INVENTORY]=65536 [LOG]=16384 [REDFISH]=16384)
crashed=()
for target in "${targets[@]}"; do
    [[ " ${all[*]} " == *" $target "* ]] || { echo "there is no target $target; there are: ${all[*]}" >&2; exit 2; }
    # shellcheck disable=SC2086
    swiftc "${flags[@]}" -D "$target" -module-name Fuzz Fuzz/FuzzTarget.swift ${parts[$target]:-} "${objects[@]}" -o "$out/fuzz-$target"
    mkdir -p "$out/corpus-$target"
    more=()
    [ -d "Fuzz/seeds/$target" ] && more+=("Fuzz/seeds/$target")
    case $target in HELLO | INVENTORY | REPORT | LOG | TASK | MARKERS) more+=(-dict=Fuzz/messages.dict) ;; esac
    echo "fuzzing $target for $each s"
    "$out/fuzz-$target" -max_total_time="$each" -timeout=10 -rss_limit_mb=2048 -max_len="${longest[$target]:-4096}" \
        -artifact_prefix="$out/crash-$target-" "$out/corpus-$target" "${more[@]}" 2>&1 | tail -3 || crashed+=("$target")
done
[ ${#crashed[@]} -eq 0 ] || { echo "crashed: ${crashed[*]}; see $out/crash-*" >&2; exit 1; }
echo "no crash"
