#!/bin/bash
# Our BMC client against other people's BMCs: sushy-emulator and OpenIPMI's ipmi_sim, both on loopback; the tests start
# them by scripts/foreign-bmcs.sh. Installs what is missing; ends with “N passed, M failed”.
set -uo pipefail
cd "$(dirname "$0")/.."
SWIFT=${SWIFT:-swift}
scripts/deps.sh && scripts/foreign-bmcs.sh install || exit 2
log=$(mktemp)
trap 'rm -f "$log"' EXIT
$SWIFT test ${SWIFT_TEST_FLAGS:-} --no-parallel --filter 'SushyJudgeTests|IPMIJudgeTests' 2>&1 | tee "$log" | grep -E '^(✔|✘) (Test|Suite)|recorded an issue'
passed=$(grep -cE '^✔ Test [^r]' "$log")
failed=$(grep -cE '^✘ Test [^r].* failed' "$log")
echo "$passed passed, $failed failed"
[ "$failed" = 0 ] && [ "$passed" -gt 0 ]
