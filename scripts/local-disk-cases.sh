#!/bin/bash
# Which disk local-disk.cfg starts, decided by GRUB itself: grub-emu runs the file with disks that are made here, and in place
# of starting a loader says which one it would be.
set -euo pipefail
cd "$(dirname "$0")/.."
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
export PATH=$PATH:/usr/sbin:/sbin
failed=0

# disk NAME LABEL OPERATION: a disk with a loader, and a seed (without LABEL: neither).
disk() {
    local file=$work/$1
    truncate -s 64M "$file"
    [ -n "${2:-}" ] || return 0
    printf 'label: gpt\nstart=2048,size=81920,type=uefi\nstart=86016,size=4096,type=EBD0A0A2-B9E5-4433-87C0-68B6B72699C7\n' | sfdisk -q "$file"
    rm -f "$work/esp" "$work/seed"
    truncate -s 40M "$work/esp"
    truncate -s 2M "$work/seed"
    mkfs.vfat -F 32 "$work/esp" >/dev/null
    mmd -i "$work/esp" ::/EFI ::/EFI/BOOT
    echo loader >"$work/loader"
    mcopy -i "$work/esp" "$work/loader" ::/EFI/BOOT/BOOTX64.EFI
    mkfs.vfat -n "$2" "$work/seed" >/dev/null
    if [ -n "${3:-}" ]; then
        mmd -i "$work/seed" ::/hostler
        mcopy -i "$work/seed" "$work/loader" "::/hostler/$3"
    fi
    dd if="$work/esp" of="$file" bs=1M seek=1 conv=notrunc status=none
    dd if="$work/seed" of="$file" bs=1M seek=42 conv=notrunc status=none
}

# expect WHAT OPERATION SAID DISK…: with these disks GRUB says SAID.
expect() {
    local what=$1 operation=$2 said=$3 number=0 text
    shift 3
    mkdir -p "$work/grub"
    : >"$work/map"
    for name in "$@"; do
        echo "(hd$number) $work/$name" >>"$work/map"
        number=$((number + 1))
    done
    {
        echo 'function chainloader { echo "START $root $1"; }'
        sed -e "s/^set operation=.*/set operation=$operation/" -e 's/^\( *\)boot$/\1halt/' -e 's/sleep 60/sleep 1/' packaging/boot/local-disk.cfg
        echo 'echo LEFT'
        echo halt
    } >"$work/grub/grub.cfg"
    text=$(TERM=vt100 timeout 60 script -qc "grub-emu -m $work/map -d $work/grub" /dev/null </dev/null 2>&1 |
        sed 's/\x1b[()][A-Z0-9]//g; s/\x1b\[[0-9;?]*[a-zA-Z]//g' | tr -d '\r' | tr -s ' \n' ' ' || true)
    if [[ $text == *"$said"* && ($said == START* || $text != *START*) ]]; then
        echo "PASS $what"
    else
        echo "FAIL $what: wanted “$said”, GRUB said: $text"
        failed=1
    fi
}

disk former CIDATA op-former01
disk new CIDATA op-new00001
disk config CONFIG-2
disk old CIDATA
disk empty
disk retired HOSTLER-OLD op-former01
cp "$work/new" "$work/noloader"
mdel -i "$work/noloader@@1M" ::/EFI/BOOT/BOOTX64.EFI

expect "the disk of the operation is started, behind the former one" op-new00001@@@ "START hd1,gpt1 /EFI" former new
expect "and before it" op-new00001@@@ "START hd0,gpt1 /EFI" new former
expect "and behind an empty one and a retired one" op-new00001@@@ "START hd2,gpt1 /EFI" empty retired new
expect "a disk without it is started where it is the only one that can be" op-m1ss1ng0@@@ "START hd1,gpt1 /EFI" empty retired
expect "of two disks without it, none is" op-m1ss1ng0@@@ "which is not known" former new
expect "where no disk has a system, none is" op-m1ss1ng0@@@ "Trying again in a minute" empty
expect "where its disk has no loader any more, another disk's is not started" op-new00001@@@ "Trying again in a minute" noloader old
expect "a system of a former version is found by its label" @@@@@@@@ "START hd1,gpt1 /EFI" empty old
expect "also a config drive's" @@@@@@@@ "START hd1,gpt1 /EFI" retired config
exit $failed
