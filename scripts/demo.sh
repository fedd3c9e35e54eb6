#!/bin/bash
# A lab of three machines, Debian on one of them by one API call, and a table of where the seconds went.
cd "$(dirname "$0")/.."
LAB=${LAB:-lab} LABS=${LABS:-/var/lib/hostler/lab} STATE=${STATE:-/var/lib/hostler/demo} API=${API:-8443} PREFIX=10.77.0.1/24
[ "$(id -u)" = 0 ] || exec sudo --preserve-env=LAB,LABS,STATE,API,CACHE_HOME,HOME "$0" "$@"
. scripts/lab.sh

say "a clean start: what an earlier demo left goes away"
[ ! -e "$STATE/serve.pid" ] || kill "$(cat "$STATE/serve.pid")" 2>/dev/null || true
lab down >/dev/null 2>&1 || true
rm -rf "$STATE" && mkdir -p "$STATE" && chmod 700 "$STATE"
use_images

say "hostler lab up: a rack of two BIOS machines and a UEFI one, on a wire of its own"
lab up --machines 3 --uefi 1 --no-power-on
start_server
echo "hostler serve runs (process $server); its log is $STATE/serve.log"

say "the machines are switched on; their disks are empty, so they boot from the network"
powered_on=$(date +%s.%N)
for node in node1 node2 node3; do lab power $node on; done
for node in node1 node2 node3; do wait_for 600 "$node is discovered" is_ready $node; done
as_admin machine list

say "hostler machine install: one call, and Debian"
key=$HOME/.ssh/id_ed25519
[ -e "$key" ] || { key=$STATE/key; ssh-keygen -q -t ed25519 -N "" -f "$key"; }
cat >"$STATE/user-data" <<'END'
#cloud-config
write_files:
- path: /etc/motd
  content: "This machine was installed by Hostler.\n"
END
machine=$(id_of node1)
# Two machines that only wait would take the processor from the one that works.
lab power node2 cut >/dev/null; lab power node3 cut >/dev/null
as_admin machine install "$machine" --image debian-12 --hostname first --ssh-key "$key.pub" --user-data "$STATE/user-data"

say "the machine has proved that it is up; a command on it, over SSH, its host key known"
hostler machine ssh "$machine" --identity "$key" --state-dir "$STATE" -- 'cat /etc/motd; uname -a; uptime'

say "where the seconds went"
scripts/seconds.py "$STATE" "$machine" "$powered_on"

say "the lab goes on; the API listens at https://127.0.0.1:$API"
cat <<END
Try:
  export PATH=$PWD/out/bin:\$PATH HOSTLER_STATE_DIR=$STATE
  hostler machine list --state-dir $STATE
  hostler machine show $machine --state-dir $STATE
  hostler machine ssh $machine --identity $key --state-dir $STATE
  hostler event list --state-dir $STATE
  hostler lab power node2 on --name $LAB --state-dir $LABS
  hostler lab power node1 cut --name $LAB --state-dir $LABS      # and then on: it goes to its own disk
To remove every trace:
  kill $server; hostler lab down --name $LAB --state-dir $LABS; rm -rf $STATE
END
