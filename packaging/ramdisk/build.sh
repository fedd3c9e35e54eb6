#!/bin/bash
# Builds what a machine boots under Hostler's care: Debian's generic kernel and a ramdisk
# with `hostler-init` as /init, drivers of common servers, and a rescue shell.
#
#   build.sh OUTDIR PATH-TO-hostler-init
#
# Leaves in OUTDIR: vmlinuz, hostler-initrd.img, manifest.json. The same packages and the
# same hostler-init give the same bytes.
#
# Environment: SUITE (bookworm), COMPRESS (lz4 -l -9; e.g. "zstd -19"), SOURCE_DATE_EPOCH,
# CACHE (where unpacked packages are kept between runs), MIRROR (apt lines to use instead
# of the host's own Debian mirror).
# Needs: mmdebstrap apt kmod cpio lz4 zstd binutils pci.ids xz-utils. Root is not needed.
set -euo pipefail
export LC_ALL=C

[ $# = 2 ] || { sed -n '2,13s/^# \{0,1\}//p' "$0" >&2; exit 64; }
out=$1 init=$2
here=$(cd "$(dirname "$0")" && pwd)
suite=${SUITE:-bookworm}
# The kernel unpacks lz4 twice as fast as zstd, which outweighs its 10 MB more on the wire.
compress=${COMPRESS:-lz4 -l -9}
epoch=${SOURCE_DATE_EPOCH:-1735689600}
cache=${CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/hostler/ramdisk-$suite}
[ -x "$init" ] || { echo "build.sh: $init is not an executable file" >&2; exit 66; }
export PATH=$PATH:/usr/sbin:/sbin

work=$(mktemp -d "${TMPDIR:-/tmp}/hostler-ramdisk.XXXXXX")
trap 'rm -rf "$work"' EXIT

# The apt lines of the host's own Debian mirror, for our suite. Nothing is printed on a host
# that has none (Ubuntu): mmdebstrap's default is used then.
host_mirror() {
    apt-get indextargets 'Created-By: Packages' --format '$(ORIGIN)|$(SITE)|$(RELEASE)' 2>/dev/null |
        awk -F'|' -v suite="$suite" '
            $1 != "Debian" { next }
            { kind = "" }
            $3 ~ /-security$/ { kind = "-security" }
            $3 ~ /-updates$/ { kind = "-updates" }
            $3 ~ /-(backports|proposed|proposed-updates)/ { next }
            !seen[$2, kind]++ { print "deb " $2 " " suite kind " main" }'
}

# 1. Packages, unpacked and not installed; dependencies (dropbear's libraries) come along.
fetch_packages() {
    [ -e "$cache/complete" ] && return
    rm -rf "$cache" && mkdir -p "$(dirname "$cache")"
    local lines mirrors=() options=() proxy
    lines=${MIRROR:-$(host_mirror)}
    [ -z "$lines" ] || mapfile -t mirrors <<<"$lines"
    proxy=$(apt-config shell P Acquire::http::Proxy)
    [ -z "$proxy" ] || { eval "$proxy"; options+=(--aptopt="Acquire::http::Proxy \"$P\""); }
    [ -z "$(ls /usr/share/keyrings/debian-archive-keyring.gpg 2>/dev/null)" ] ||
        options+=(--keyring=/usr/share/keyrings/debian-archive-keyring.gpg)
    mmdebstrap --quiet --variant=extract "${options[@]}" \
        --include=linux-image-amd64,busybox-static,dropbear-bin \
        "$suite" "$cache" "${mirrors[@]}"
    touch "$cache/complete"
}

# 2. The modules named in modules.list and what they depend on, stripped and decompressed.
take_modules() {
    local version=$1 from=$cache/lib/modules/$1 to=$work/root/lib/modules/$1
    [ -d "$from" ] || from=$cache/usr/lib/modules/$version
    [ -s "$from/modules.dep" ] || depmod -b "${from%/lib/modules/*}" "$version"
    sed -e 's/#.*//' -e '/^ *$/d' "$here/modules.list" |
        awk -v dep="$from/modules.dep" '
            function plain(path) {
                sub(/.*\//, "", path); sub(/\.ko(\.[a-z]+)?$/, "", path); gsub(/-/, "_", path)
                return path
            }
            BEGIN {
                while ((getline line < dep) > 0) {
                    split(line, half, ":"); path[plain(half[1])] = half[1]; needs[plain(half[1])] = half[2]
                }
            }
            {
                name = plain($1)
                if (!(name in path)) { print "no module " $1 > "/dev/stderr"; next }
                print path[name]
                n = split(needs[name], more, " "); for (i = 1; i <= n; i++) print more[i]
            }' 2>"$work/absent" | sort -u >"$work/modules"
    mkdir -p "$to"
    while read -r module; do
        mkdir -p "$to/$(dirname "$module")"
        case $module in
        *.ko.xz) xz -dc "$from/$module" >"$to/${module%.xz}" ;;
        *.ko.zst) zstd -qdc "$from/$module" >"$to/${module%.zst}" ;;
        *) cp "$from/$module" "$to/$module" ;;
        esac
    done <"$work/modules"
    find "$to" -name '*.ko' -exec strip --strip-debug {} +
    cp "$from"/modules.builtin "$from"/modules.builtin.modinfo "$from"/modules.order "$to"
    depmod -b "$work/root" "$version"
    # The agent and busybox read the text forms.
    rm -f "$to"/modules.*.bin "$to"/modules.symbols "$to"/modules.devname
}

# 3. A program with the libraries it loads, at the paths its loader looks for them.
take_program() {
    local program=$1 library
    install -D -m 755 "$cache/$program" "$work/root/$program"
    local wanted=("$program")
    local file found next
    while [ ${#wanted[@]} -gt 0 ]; do
        next=()
        for file in "${wanted[@]}"; do
            for library in $(readelf -d "$cache/$file" | sed -n 's/.*(NEEDED).*\[\(.*\)\]/\1/p'); do
                [ -e "$work/root/lib/x86_64-linux-gnu/$library" ] && continue
                found=$(find "$cache/lib" "$cache/usr/lib" -path '*x86_64-linux-gnu/*' -name "$library" | head -1)
                [ -n "$found" ] || { echo "build.sh: $file needs $library, which no package brought" >&2; exit 1; }
                install -D -m 755 "$(readlink -f "$found")" "$work/root/lib/x86_64-linux-gnu/$library"
                next+=("${found#"$cache"/}")
            done
        done
        wanted=("${next[@]}")
    done
    if [ ! -e "$work/root/lib64/ld-linux-x86-64.so.2" ]; then
        install -D -m 755 "$(find "$cache/lib" "$cache/usr/lib" -name ld-linux-x86-64.so.2 -type f | head -1)" \
            "$work/root/lib64/ld-linux-x86-64.so.2"
    fi
}

make_tree() {
    local root=$work/root
    mkdir -p "$root"/{bin,sbin,dev,etc/dropbear,lib/firmware,mnt,proc,root,run,sys,tmp,usr/bin,usr/sbin,usr/share/misc,var/log}
    chmod 1777 "$root/tmp" && chmod 700 "$root/root"
    take_modules "$1"

    local busybox=bin/busybox
    [ -e "$cache/$busybox" ] || busybox=usr/bin/busybox
    install -m 755 "$cache/$busybox" "$root/bin/busybox"
    "$root/bin/busybox" --list | grep -vx busybox | while read -r applet; do ln -sf busybox "$root/bin/$applet"; done

    take_program usr/sbin/dropbear
    take_program usr/bin/dropbearkey
    # dropbear reads the account and its shell through the C library.
    take_name_service "$root"
    echo 'root:x:0:0:root:/root:/bin/sh' >"$root/etc/passwd"
    echo 'root:x:0:' >"$root/etc/group"
    echo 'root:*:19000:0:99999:7:::' >"$root/etc/shadow" && chmod 600 "$root/etc/shadow"
    echo '/bin/sh' >"$root/etc/shells"
    echo 'passwd: files' >"$root/etc/nsswitch.conf"
    ln -s ../proc/mounts "$root/etc/mtab"

    # Names of PCI vendors and devices; comments and subsystem lines (two tabs) are two
    # thirds of the file and nobody reads them here.
    sed -e '/^#/d' -e '/^$/d' -e '/^\t\t/d' /usr/share/misc/pci.ids >"$root/usr/share/misc/pci.ids"

    # Firmware that Debian may not ship in main: what the operator puts into firmware.d/
    # (the layout of /lib/firmware) goes along. See firmware.d/README.md.
    find "$here/firmware.d" -mindepth 1 -maxdepth 1 ! -name README.md -exec cp -a {} "$root/lib/firmware/" \;

    # A machine may be somebody's: nothing in here may assemble an array or activate a volume by itself.
    local found
    found=$(find "$root" \( -name 'mdadm*' -o -name lvm -o -name 'vgchange*' -o -name 'dmsetup*' -o -name 'udevd*' -o -name 'systemd*' \) -print -quit)
    [ -z "$found" ] || { echo "build.sh: $found assembles disks by itself" >&2; exit 1; }

    install -m 755 "$init" "$root/init"
    strip --strip-all "$root/init" 2>/dev/null || true
}

# glibc opens the "files" name service by dlopen in older releases; newer have it inside.
take_name_service() {
    local found
    found=$(find "$cache/lib" "$cache/usr/lib" -name 'libnss_files.so.2' | head -1)
    [ -z "$found" ] || install -D -m 755 "$(readlink -f "$found")" "$1/lib/x86_64-linux-gnu/libnss_files.so.2"
}

# 4. The archive: names sorted, one date, root's, inode numbers renumbered by cpio.
pack() {
    find "$work/root" -exec touch -h -d "@$epoch" {} +
    (cd "$work/root" && find . -mindepth 1 -print0 | sort -z |
        cpio --null --create --format=newc --owner=0:0 --reproducible --quiet) >"$work/initrd.cpio"
    # shellcheck disable=SC2086
    $compress -q -c "$work/initrd.cpio" >"$out/hostler-initrd.img"
}

describe() {
    local version=$1 file
    {
        printf '{\n  "kernel": "%s",\n  "suite": "%s",\n  "modules": %d,\n' "$version" "$suite" "$(wc -l <"$work/modules")"
        printf '  "unpackedBytes": %d,\n  "initBytes": %d,\n  "files": {' \
            "$(stat -c %s "$work/initrd.cpio")" "$(stat -c %s "$work/root/init")"
        local comma=''
        for file in vmlinuz hostler-initrd.img; do
            printf '%s\n    "%s": { "bytes": %d, "sha256": "%s" }' "$comma" "$file" \
                "$(stat -c %s "$out/$file")" "$(sha256sum "$out/$file" | cut -d' ' -f1)"
            comma=,
        done
        printf '\n  }\n}\n'
    } >"$out/manifest.json"
}

mkdir -p "$out"
fetch_packages
version=$(basename "$(ls -d "$cache"/lib/modules/* "$cache"/usr/lib/modules/* 2>/dev/null | sort -V | tail -1)")
make_tree "$version"
install -m 644 "$cache/boot/vmlinuz-$version" "$out/vmlinuz"
pack
describe "$version"
sed 's/^/build.sh: /' "$work/absent" >&2
cat "$out/manifest.json"
