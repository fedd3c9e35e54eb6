#!/bin/bash
# Other people's BMCs on loopback, for our client to be judged by: sushy-emulator (PyPI sushy-tools) and OpenIPMI's
# ipmi_sim (Debian). Prints where they are, as `sushy URL`, `image URL` and `ipmi PORT`, then `ready`; they end with
# standard input. `foreign-bmcs.sh install` gets what they need and starts nothing.
set -euo pipefail
cache=${CACHE_HOME:-$HOME/.cache/hostler}/bmc-judges
if [ "${1:-}" = install ]; then
    [ ! -x "$cache/venv/bin/sushy-emulator" ] || exit 0
    mkdir -p "$cache"
    python3 -m venv "$cache/venv"
    exec "$cache/venv/bin/pip" --quiet install sushy-tools==2.2.0
fi
for program in "$cache/venv/bin/sushy-emulator" ipmi_sim ipmitool curl; do
    command -v "$program" >/dev/null || { echo "no $program: make test-deps" >&2; exit 1; }
done

work=$(mktemp -d)
pids=()
finish() {
    # Whoever starts this from a thread may have gentler signals blocked for all that comes after.
    for pid in "${pids[@]}"; do kill -KILL "$pid" 2>/dev/null || true; done
    rm -rf "$work"
}
trap finish EXIT
trap 'exit 1' INT TERM
free_port() { python3 -c 'import socket,sys; s=socket.socket(socket.AF_INET, getattr(socket, sys.argv[1])); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])' "$1"; }

# sushy-emulator fetches images by HTTP: a small server with one file.
web=$(free_port SOCK_STREAM)
mkdir "$work/web" "$work/sim"
head -c 65536 /dev/zero >"$work/web/boot.iso"
python3 -m http.server --bind 127.0.0.1 --directory "$work/web" "$web" >/dev/null 2>&1 </dev/null &
pids+=($!)
sushy=$(free_port SOCK_STREAM)
# No config file: the one system is off, and its state is in a folder of its own.
printf 'SUSHY_EMULATOR_STATE_DIR = "%s"\n' "$work" >"$work/sushy.conf"
"$cache/venv/bin/sushy-emulator" --fake --config "$work/sushy.conf" -i 127.0.0.1 -p "$sushy" >"$work/sushy.log" 2>&1 </dev/null &
pids+=($!)

# ipmi_sim: one BMC; chassis control by a script that keeps power and boot device in files.
ipmi=$(free_port SOCK_DGRAM)
cat >"$work/chassis" <<END
#!/bin/sh
# Called as: chassis IGNORED get|set PARAMETER [VALUE] …
state=$work/state
mkdir -p \$state
shift
verb=\$1
shift
case \$verb in
get)
    for name in "\$@"; do echo "\$name:\$(cat \$state/\$name 2>/dev/null || echo 0)"; done ;;
set)
    while [ \$# -gt 0 ]; do
        case \$1 in
        reset) ;;
        *) echo "\$2" >"\$state/\$1" ;;
        esac
        shift
        [ \$# -gt 0 ] && shift
    done ;;
check) ;;
esac
exit 0
END
chmod +x "$work/chassis"
cat >"$work/lan.conf" <<END
name "judge"
set_working_mc 0x20
  startlan 1
    addr 127.0.0.1 $ipmi
    priv_limit admin
    allowed_auths_callback none md2 md5 straight
    allowed_auths_user none md2 md5 straight
    allowed_auths_operator none md2 md5 straight
    allowed_auths_admin none md2 md5 straight
    guid a123456789abcdefa123456789abcdef
  endlan
  chassis_control "$work/chassis 0x20"
  user 1 true "" "test" user 10 none md2 md5 straight
  user 2 true "ipmiusr" "test" admin 10 none md2 md5 straight
END
cat >"$work/judge.emu" <<'END'
mc_setbmc 0x20
mc_add 0x20 0 no-device-sdrs 0x23 9 8 0x9f 0x1291 0xf02 persist_sdr
sel_enable 0x20 1000 0x0a
sensor_add 0x20 0 1 1 1
sensor_set_value 0x20 0 1 0x60 0
sensor_set_event_support 0x20 0 1 enable scanning per-state 000111111111111 000111111111111 000111111111111 000111111111111
sel_add 0x20 0x02 0 0 0 0 0x20 0x00 0x04 0x01 0x01 0x01 0x57 0x60 0x50
main_sdr_add 0x20 0x00 0x00 0x51 0x01 0x31 0x20 0x00 0x01 0x03 0x01 0x67 0x40 0x01 0x01 0x00 0x00 0x00 0x00 0x3f 0x3f 0x00 0x01 0x00 0x00 0x01 0x00 0x00 0x00 0x00 0x00 0x00 0x60 0xb0 0x00 0xff 0x00 0xb0 0xa0 0x90 0x00 0x00 0x00 0x00 0x00 0x00 0x00 0x00 0xc6 0x44 0x4a 0x54 0x65 0x6d 0x70
mc_enable 0x20
END
ipmi_sim -c "$work/lan.conf" -f "$work/judge.emu" -s "$work/sim" -n >"$work/ipmi.log" 2>&1 </dev/null &
pids+=($!)

wait_for() { # COMMAND…
    for _ in $(seq 30); do
        "$@" >/dev/null 2>&1 && return 0
        sleep 0.2
    done
    echo "did not come up: $*" >&2
    for log in "$work"/*.log; do tail -n 20 "$log" >&2; done
    exit 1
}
talk() { IPMI_PASSWORD=test ipmitool -I lanplus -C 3 -H 127.0.0.1 -p "$ipmi" -U ipmiusr -E -N 1 -R 1 "$@"; }
wait_for curl -fs "http://127.0.0.1:$sushy/redfish/v1/"
wait_for talk mc info

printf 'sushy http://127.0.0.1:%s\nimage http://127.0.0.1:%s/boot.iso\nipmi %s\nready\n' "$sushy" "$web" "$ipmi"
cat >/dev/null
