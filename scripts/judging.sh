# For scripts that judge, to be sourced: counts what held.
passed=0 failed=0

# judge WHAT COMMAND…: the command succeeds.
judge() {
    local what=$1
    shift
    if "$@"; then passed=$((passed + 1)); echo "PASS $what"; else failed=$((failed + 1)); echo "FAIL $what"; fi
}

# The closing line; succeeds where nothing failed.
verdict() {
    echo "$passed passed, $failed failed"
    [ "$failed" = 0 ]
}
