#!/bin/sh
# The peer of `make bench`, as /init of a ramdisk: Debian package by package with mmdebstrap, then grub-install.
# From the kernel's command line: server=ADDRESS address=ADDRESS/LENGTH. The server has packages and settings.
set -eu
export PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin HOME=/root LC_ALL=C DEBIAN_FRONTEND=noninteractive
mount -t proc proc /proc
mount -t sysfs sysfs /sys
mount -t devtmpfs devtmpfs /dev || true
mkdir -p /dev/pts /run /tmp
mount -t devpts devpts /dev/pts
exec >/dev/console 2>&1 </dev/console
trap 'echo "peer: FAILED"; exec busybox sleep 100000' EXIT
at() { echo "peer: $(busybox cut -d' ' -f1 /proc/uptime) $*"; }
for word in $(cat /proc/cmdline); do
    case $word in server=* | address=*) eval "$word" ;; esac
done

at network
modprobe -a virtio_pci virtio_net virtio_blk virtio_rng ext4
card=$(ls /sys/class/net | grep -v lo | head -1)
busybox ip link set "$card" up
busybox ip addr add "$address" dev "$card"
until busybox wget -q -O /tmp/settings "http://$server:8080/settings"; do busybox sleep 0.2; done
. /tmp/settings # packages, key, hostname

at disk
disk=/dev/vda
printf 'label: gpt\nsize=1MiB, type=21686148-6449-6E6F-744E-656564454649\ntype=4F68BCE3-E8CD-4DB1-96E7-FBCAF984B709\n' |
    sfdisk --quiet $disk
while [ ! -b ${disk}2 ]; do busybox sleep 0.1; done
mkfs.ext4 -q -F ${disk}2
mkdir -p /target
mount ${disk}2 /target

at packages
mmdebstrap --mode=root --variant=minbase --include="$packages" \
    --dpkgopt=force-unsafe-io \
    --dpkgopt='path-exclude=/usr/share/doc/*' --dpkgopt='path-include=/usr/share/doc/*/copyright' \
    --dpkgopt='path-exclude=/usr/share/man/*' --dpkgopt='path-exclude=/usr/share/info/*' \
    --dpkgopt='path-exclude=/usr/share/locale/*' --dpkgopt='path-exclude=/usr/share/lintian/*' \
    --essential-hook='mkdir -p "$1/etc/initramfs-tools/conf.d" && echo COMPRESS=lz4 >"$1/etc/initramfs-tools/conf.d/compress"' \
    bookworm /target "deb [trusted=yes] http://$server:8080/packages ./"

at settings
uuid=$(blkid -s UUID -o value ${disk}2)
echo "UUID=$uuid / ext4 errors=remount-ro 0 1" >/target/etc/fstab
echo "$hostname" >/target/etc/hostname
printf '[Match]\nName=e*\n[Network]\nAddress=%s\n' "$address" >/target/etc/systemd/network/10-lab.network
install -d -m 700 /target/root/.ssh
echo "$key" >/target/root/.ssh/authorized_keys
touch /target/etc/cloud/cloud-init.disabled
chroot /target systemctl enable -q systemd-networkd.service

at loader
for directory in dev proc sys; do mount --bind /$directory /target/$directory; done
cat >/target/etc/default/grub <<END
GRUB_DEFAULT=0
GRUB_TIMEOUT=0
GRUB_CMDLINE_LINUX="console=tty0 console=ttyS0,115200n8"
GRUB_TERMINAL=serial
END
chroot /target grub-install --target=i386-pc $disk
chroot /target update-grub
umount /target/dev /target/proc /target/sys /target

at done
busybox wget -q -O /dev/null "http://$server:8080/installed" || true
sync
busybox reboot -f
