#!/bin/bash
# Unmodified Debian with its unmodified cloud-init comes up from each data source, in a lab of its own: host name,
# keys, user-data, and a bond of two ports with a VLAN and static addresses that carry traffic.
#   IMAGES   of those that `hostler image build` made (debian-12, and debian-13 where it is there)
#   SOURCES  data sources     MACHINES  2: the VLAN carries traffic between them; 1: it is only looked at
cd "$(dirname "$0")/.."
work=$(mktemp -d /tmp/hostler-mdlab.XXXXXX)
LAB=mdl$$ LABS=$work/labs STATE=$work/state API=$((20000 + $$ % 20000)) PREFIX=10.77.0.1/24
. scripts/lab.sh
mkdir -p "$STATE" "$LABS"
SOURCES=${SOURCES:-nocloud nocloud-http config-drive ec2} MACHINES=${MACHINES:-2}

passed=0
pass() { passed=$((passed + 1)); echo "ok $passed - $*"; }
end() {
    local code=$?
    set +e
    [ $code = 0 ] || {
        echo "--- serve.log"; tail -30 "$STATE/serve.log"
        for log in "$LABS/$LAB"/machines/*/console.log; do echo "--- $log"; tail -c 6000 "$log" | tr -d '\000\033\r'; done
    } >&2
    [ -z "${server:-}" ] || kill "$server" 2>/dev/null
    lab down >/dev/null 2>&1
    rm -rf "$work"
    [ $code != 0 ] || echo "$passed passed, 0 failed"
}
trap end EXIT

json_of() { as_admin "$1" show "$2" --output json | python3 -c "import json, sys; record = json.load(sys.stdin); print($3)"; }
has_ended() { [ "$(json_of operation "$1" 'record["state"]')" != running ]; }
run_on() { timeout 60 scripts/ssh.sh "$LAB" "$STATE" "$@"; }

say "a rack of $MACHINES machines with two ports each"
use_images
ssh-keygen -q -t ed25519 -N "" -f "$STATE/key"
printf '#cloud-config\nwrite_files:\n- path: /etc/from-user-data\n  content: applied\n' >"$work/user-data"
lab up --machines 0 --uefi 0 --no-power-on >/dev/null
start_server
declare -A machine
for number in $(seq "$MACHINES"); do
    lab add "node$number" --nics 2 >/dev/null
    lab power "node$number" on >/dev/null
done
for number in $(seq "$MACHINES"); do
    wait_for 600 "node$number is discovered" is_ready "node$number"
    machine[$number]=$(id_of "node$number")
    json_of machine "${machine[$number]}" 'json.dumps({
        "ethernets": [{"name": f"port{n}", "mac": port["mac"]} for n, port in enumerate(record["interfaces"])],
        "bonds": [{"name": "bond0", "mode": "active-backup", "members": ["port0", "port1"],
                   "addressing": {"addresses": ["10.77.0.2'"$number"'/24"]}}],
        "vlans": [{"name": "bond0.40", "id": 40, "link": "bond0", "addressing": {"addresses": ["10.40.0.2'"$number"'/24"]}}]})' >"$work/network$number"
    as_admin machine set "${machine[$number]}" --network "$work/network$number" --tag role=web >/dev/null
done
pass "$MACHINES machines with two ports are discovered; their network is set"

declare -A class=([nocloud]="DataSourceNoCloud " [nocloud-http]=DataSourceNoCloudNet [config-drive]=DataSourceConfigDrive [ec2]=DataSourceEc2)
known=$(as_admin image list --output json)
for image in ${IMAGES:-debian-12 debian-13}; do
    grep -q "\"$image\"" <<<"$known" || { echo "-- there is no image $image: hostler image build $image"; continue; }
    for source in $SOURCES; do
        say "$image from $source"
        operations=()
        for number in $(seq "$MACHINES"); do
            operations[number]=$(as_admin machine install "${machine[$number]}" --image "$image" --hostname "web-$number" --datasource "$source" \
                --ssh-key "$STATE/key.pub" --user-data "$work/user-data" --no-wait | grep -o 'op-[0-9a-z]*' | head -1)
            # One that runs a system goes to the agent by a restart; one that waits in the agent has begun.
            [ -z "${installed:-}" ] || lab power "node$number" cycle >/dev/null
        done
        for number in $(seq "$MACHINES"); do
            wait_for 1800 "the installation ends" has_ended "${operations[number]}"
            [ "$(json_of operation "${operations[number]}" 'record["state"]')" = succeeded ] || fail "the installation of node$number did not succeed"
        done
        installed=yes
        one=${machine[1]}
        [ "$(run_on "$one" hostname)" = web-1 ] || fail "the host name was not applied"
        [ "$(run_on "$one" cat /etc/from-user-data)" = applied ] || fail "user-data was not applied"
        run_on "$one" cat /run/cloud-init/result.json | grep -qF "${class[$source]}" || fail "another data source: $(run_on "$one" cat /run/cloud-init/result.json)"
        run_on "$one" cat /proc/net/bonding/bond0 | grep -q 'Slave Interface: port1' || fail "port1 is not in the bond"
        run_on "$one" ip -br address | grep -q '^bond0.40@bond0 .*10.40.0.21/24' || fail "the VLAN has no address: $(run_on "$one" ip -br address)"
        token=$(run_on "$one" curl -sf -X PUT -H "'X-aws-ec2-metadata-token-ttl-seconds: 60'" http://169.254.169.254/latest/api/token 2>/dev/null ||
            run_on "$one" python3 -c "'import urllib.request as u; print(u.urlopen(u.Request(\"http://169.254.169.254/latest/api/token\", method=\"PUT\", headers={\"X-aws-ec2-metadata-token-ttl-seconds\": \"60\"})).read().decode())'")
        [ -n "$token" ] || fail "the system has no way to the metadata service"
        if [ "$MACHINES" -gt 1 ]; then
            run_on "$one" ping -c 3 -W 5 -I bond0.40 10.40.0.22 >/dev/null || fail "the VLAN on the bond carries nothing"
        fi
        pass "$image from $source: host name, key, user-data, a bond with a VLAN, and the metadata service"
    done
done
