#!/bin/bash
# Installs the Debian packages that building, the lab and the tests need; asks apt only for what is missing.
set -euo pipefail
packages=(
    # building
    libsqlite3-dev libzstd-dev binutils make git
    # the lab
    qemu-system-x86 qemu-utils ovmf ipxe ipxe-qemu iproute2 openssh-client
    # BMCs that speak IPMI, PDUs that speak SNMP
    ipmitool snmp
    # images and the ramdisk
    mmdebstrap arch-test debian-archive-keyring gpg lz4 mtools dosfstools e2fsprogs gdisk fdisk grub-common grub-pc-bin grub-efi-amd64-bin
    kmod cpio zstd xz-utils pci.ids busybox-static dropbear-bin
    # other people's clients, for tests
    openssh-server openssl python3-venv swtpm swtpm-tools tpm2-tools
    kea-admin tftp-hpa curl python3 dnsmasq-base wrk
)
missing=()
for package in "${packages[@]}"; do
    dpkg-query --show --showformat='${db:Status-Status}' "$package" 2>/dev/null | grep -qx installed || missing+=("$package")
done
[ ${#missing[@]} -eq 0 ] && exit 0
echo "installing: ${missing[*]}"
sudo=$([ "$(id -u)" = 0 ] || echo sudo)
export DEBIAN_FRONTEND=noninteractive
$sudo apt-get update -qq
$sudo apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null
