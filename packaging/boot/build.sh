#!/bin/bash
# Puts the boot programs that firmware loads by network into OUTDIR: iPXE from Debian's package, and what starts the system
# on a machine's disk:
#
#   local-disk.efi  for UEFI: a GRUB that does nothing but look for the disk with the first-boot data of one installation, and
#                   start that disk's loader. It is what a UEFI machine gets whose system runs: iPXE 1.0.0+git-20190125 hangs
#                   in OVMF when it leaves with an error, and firmware that is left with a success opens its menu, so handing
#                   back to the boot order cannot be relied on.
#   local-disk.0    for a BIOS: looks through the BIOS's disks for the marker of one installation, and starts that disk.
#
# Both have a place for the installation's name, which the server fills in each copy that it sends.
set -euo pipefail
out=$1
here=$(cd "$(dirname "$0")" && pwd)
mkdir -p "$out"
cp /usr/lib/ipxe/undionly.kpxe /usr/lib/ipxe/ipxe.efi /usr/lib/ipxe/snponly.efi "$out/"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# A script with conditions needs GRUB's normal mode, which reads its configuration from a file: of a tar in memory.
mkdir -p "$work/boot/grub"
cp "$here/local-disk.cfg" "$work/boot/grub/grub.cfg"
tar --create --file "$work/memdisk.tar" --directory "$work" --owner=0 --group=0 --mtime=@0 boot
grub-mkimage -O x86_64-efi -o "$out/local-disk.efi" -p "(memdisk)/boot/grub" -m "$work/memdisk.tar" \
    memdisk tar normal test echo sleep reboot part_gpt part_msdos fat search search_fs_file search_label regexp chain boot minicmd

as --32 -o "$work/local-disk.o" "$here/local-disk.s"
ld -m elf_i386 --oformat binary -Ttext 0x7c00 -o "$out/local-disk.0" "$work/local-disk.o"
