/// The shell program of an installed system that calls home until Hostler has acknowledged it. It needs a POSIX shell, `cat`,
/// `cut`, `head`, `sed`, `tr`, `sleep`, one of `sha256sum`, `openssl` and `python3`, and one of `curl`, `wget`, `python3` and `bash`.
///
/// Its folder comes first (empty on a real system), then `once` where it is to call only once.
enum CallHomeProgram {
    static let text = #"""
        #!/bin/sh
        # Tells Hostler that this system is up, until Hostler has acknowledged that. Put here by this machine's installation.
        # It sends no secret: what it says has a code made with a key that only this system and Hostler have, and an
        # acknowledgement counts only with such a code. So it may ask at any address whether Hostler is there.
        umask 077
        LC_ALL=C
        export LC_ALL
        unset http_proxy HTTP_PROXY https_proxy HTTPS_PROXY all_proxy ALL_PROXY
        root=${1:-}
        settings=$root/etc/hostler/call-home.settings

        has() { command -v "$1" >/dev/null 2>&1; }

        if has sha256sum; then sum() { sha256sum | cut -c1-64; }
        elif has openssl; then sum() { openssl dgst -sha256 -r | cut -c1-64; }
        else sum() { python3 -c 'import hashlib, sys; print(hashlib.sha256(sys.stdin.buffer.read()).hexdigest())'; }
        fi

        # printf is the shell's own: the key is in no list of processes.
        code() {
            inner=$(printf '%s%s' "$KEY" "$1" | sum)
            printf '%s%s' "$KEY" "$inner" | sum
        }

        words() { tr -cd 'A-Za-z0-9._-' | cut -c1-"$1"; }

        message() {
            printf 'hostler-call-home 1\noperation %s\nnonce %s\n' "$OPERATION" "$nonce"
            printf 'instance %s\n' "$(head -n 1 "$root/var/lib/cloud/data/instance-id" 2>/dev/null | words 64)"
            printf 'hostname %s\n' "$(head -n 1 /proc/sys/kernel/hostname | words 253)"
            if [ -e "$finished" ]; then printf 'cloud-init finished\n'; else printf 'cloud-init not finished\n'; fi
            for file in "$root"/etc/ssh/ssh_host_*_key.pub; do
                [ -f "$file" ] || continue
                kind= key= rest=
                read -r kind key rest <"$file" || [ -n "$key" ] || continue
                printf 'key %s %s\n' "$kind" "$key"
            done
        }

        address() { # of the hexadecimal form in /proc/net/route, the last byte first
            printf '%d.%d.%d.%d\n' $(printf '%s' "$1" | sed 's/^\(..\)\(..\)\(..\)\(..\)$/0x\4 0x\3 0x\2 0x\1/')
        }

        candidates() {
            printf '%s\n' $SERVERS
            # A person may name one a line, as 10.77.0.9:8080.
            cat "$root/etc/hostler/servers" 2>/dev/null
            {
                # Who gave this system its address, as systemd-networkd, NetworkManager and dhclient write it down.
                for file in "$root"/run/systemd/netif/leases/* "$root"/var/lib/NetworkManager/internal-*.lease; do
                    [ -f "$file" ] && sed -n -e 's/^SERVER_ADDRESS=//p' -e 's/^NEXT_SERVER=//p' "$file"
                done
                for file in "$root"/var/lib/dhcp/dhclient*.leases "$root"/var/lib/dhclient/*.leases "$root"/var/lib/NetworkManager/dhclient-*.lease; do
                    [ -f "$file" ] && sed -n 's/^ *option dhcp-server-identifier \([0-9.]*\);.*/\1/p' "$file" | tail -n 1
                done
                # And who is the way to its metadata.
                while read -r interface destination gateway rest; do
                    if [ "$destination" = FEA9FEA9 ] && [ "$gateway" != 00000000 ]; then address "$gateway"; fi
                done 2>/dev/null <"$root/proc/net/route"
            } | while read -r found; do
                case $found in '' | *[!0-9.]*) ;; *) printf '%s:%s\n' "$found" "$PORT" ;; esac
            done
        }

        servers() {
            list=
            count=0
            for server in $(candidates); do
                case $server in *:*) ;; *) server=$server:$PORT ;; esac
                case $server in *[!0-9A-Za-z.:-]* | -* | :* | 0.0.0.0:*) continue ;; esac
                case " $list " in *" $server "*) continue ;; esac
                list="$list $server"
                count=$((count + 1))
                [ $count -lt 16 ] || break
            done
            printf '%s\n' $list
        }

        limit=
        if timeout 5 true 2>/dev/null; then limit='timeout 40'; fi

        post() { # host:port; prints what comes back
            url=http://$1/call-home/$OPERATION
            case $tool in
            curl)
                printf '%s\n' "$body" | $limit curl -q -s --noproxy '*' --connect-timeout 10 -m 30 -H 'Content-Type: text/plain' -H 'Expect:' \
                    --data-binary @- "$url"
                ;;
            wget) $limit wget -q -O - -T 30 -t 1 --header 'Content-Type: text/plain' --post-data "$body
        " "$url" ;;
            python3)
                printf '%s\n' "$body" | $limit python3 -c '
        import sys, urllib.error, urllib.request
        request = urllib.request.Request(sys.argv[1], sys.stdin.buffer.read(), {"Content-Type": "text/plain"})
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        try: reply = opener.open(request, timeout=30)
        except urllib.error.HTTPError as error: reply = error
        sys.stdout.write(reply.read(8192).decode("latin-1"))' "$url"
                ;;
            bash)
                $limit bash -c '
        exec 3<>"/dev/tcp/${1%:*}/${1##*:}" || exit 1
        printf "POST /call-home/%s HTTP/1.1\r\nHost: %s\r\nContent-Type: text/plain\r\nContent-Length: %s\r\nConnection: close\r\n\r\n%s\n" \
            "$2" "$1" "$((${#3} + 1))" "$3" >&3
        while IFS= read -r -t 30 -u 3 line; do printf "%s\n" "$line"; done' call-home "$1" "$OPERATION" "$body"
                ;;
            esac 2>/dev/null | head -c 8192 | tr -d '\r\000'
        }

        # The program that asks: the next one where the last got no answer, since one that is there may not work.
        next_tool() {
            all=
            for tool in curl wget python3 bash; do has $tool && all="$all $tool"; done
            if [ -z "$all" ]; then
                echo "there is none of curl, wget, python3 and bash to call home with"
                exit 0
            fi
            set -- $all
            shift $((turn % $#))
            tool=$1
        }

        try() {
            next_tool
            nonce=$(cat /proc/sys/kernel/random/uuid /proc/sys/kernel/random/uuid | tr -d '\n-')
            said=$(message)
            body=$said'
        code '$(code "$said")
            yes="acknowledged $(code "acknowledged $nonce")"
            over="superseded $(code "superseded $nonce")"
            works=
            for server in $(servers); do
                answer=$(post "$server")
                [ -z "$answer" ] || works=yes
                case "
        $answer
        " in
                *"
        $yes
        "*) end "Hostler at $server has acknowledged that this system is up" ;;
                *"
        $over
        "*) end "Hostler at $server has other work of later on this machine's record: it is not called any more" ;;
                esac
                echo "$server ($tool): $(printf '%s' "${answer:-no answer}" | tr -cd ' -~' | cut -c1-300)"
            done
            tries=$((tries + 1))
            [ -n "$works" ] || turn=$((turn + 1))
        }

        # The key is gone first.
        end() {
            rm -f "$settings"
            echo "$1"
            rm -f "$root/var/lib/cloud/scripts/per-boot/hostler-call-home" "$root/etc/hostler/call-home"
            if [ -e "$root/etc/systemd/system/hostler-call-home.service" ]; then
                systemctl disable -q hostler-call-home.service
                rm -f "$root/etc/systemd/system/hostler-call-home.service"
            fi
            exit 0
        }

        # From half of a step to all of it: a rack that lost its server does not ask at one moment.
        pause() {
            random=$(($(cut -c1-4 /proc/sys/kernel/random/uuid | sed 's/^/0x/')))
            sleep $(($1 / 2 + random % ($1 - $1 / 2 + 1)))
        }

        main() {
            [ -r "$settings" ] || exit 0
            . "$settings"
            finished=$root/var/lib/cloud/instance/boot-finished
            # As phone_home does: when all that the user wanted was done. What takes longer is told of as it is.
            waited=0
            while [ -d "$root/var/lib/cloud" ] && [ ! -e "$finished" ] && [ $waited -lt 1500 ]; do
                sleep 5
                waited=$((waited + 5))
            done
            tries=0
            turn=0
            step=4
            while true; do
                try
                # Five minutes at most in the first hours, then half an hour.
                step=$((step * 2))
                most=300
                [ $tries -lt 60 ] || most=1800
                [ $step -le $most ] || step=$most
                pause $step
                [ -r "$settings" ] || exit 0
            done
        }

        main
        exit
        """#
}
