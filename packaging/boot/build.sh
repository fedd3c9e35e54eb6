#!/bin/bash
# Puts the boot programs that firmware loads by network into OUTDIR: iPXE from Debian's package, and
# local-disk.efi, a GRUB that does nothing but start the loader of the disk that carries our seed (the volume
# CIDATA), or where none does, the first loader that it finds. It is what a UEFI machine gets
# whose system runs: iPXE 1.0.0+git-20190125 hangs in OVMF when it leaves with an error, and firmware that
# is left with a success opens its menu, so handing back to the boot order cannot be relied on.
set -euo pipefail
out=$1
here=$(cd "$(dirname "$0")" && pwd)
mkdir -p "$out"
cp /usr/lib/ipxe/undionly.kpxe /usr/lib/ipxe/ipxe.efi /usr/lib/ipxe/snponly.efi "$out/"
grub-mkimage -O x86_64-efi -o "$out/local-disk.efi" -p / -c "$here/local-disk.cfg" \
    part_gpt part_msdos fat search search_fs_file search_label regexp chain boot minicmd
