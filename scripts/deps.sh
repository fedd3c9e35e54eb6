#!/bin/bash
# Installs the Debian packages that building, the lab and the tests need; asks apt only for what is missing.
# `deps.sh bench` installs the peers of `make bench` as well; `deps.sh check` only what `make check` needs. Services that
# come with a package are not started.
set -euo pipefail
packages=(
    # building
    libsqlite3-dev libzstd-dev binutils make git
    # the lab
    qemu-system-x86 qemu-utils ovmf ipxe ipxe-qemu iproute2 openssh-client
    # BMCs that speak IPMI, PDUs that speak SNMP
    ipmitool openipmi snmp
    # images and the ramdisk
    mmdebstrap arch-test debian-archive-keyring gpg lz4 mtools dosfstools e2fsprogs gdisk fdisk grub-common grub-pc-bin grub-efi-amd64-bin grub-emu
    kmod cpio zstd xz-utils pci.ids busybox-static dropbear-bin
    # other people's clients, for tests
    openssh-server openssl python3-venv swtpm swtpm-tools tpm2-tools xxd
    kea-admin tftp-hpa curl python3 dnsmasq-base wrk
    # the unit: systemd judges it, libseccomp makes its filter for a test
    systemd libseccomp2
)
[ "${1:-}" != bench ] || packages+=(kea-dhcp4-server nginx-light tftpd-hpa atftp apt-utils)
[ "${1:-}" != check ] || packages=(systemd)
missing=()
for package in "${packages[@]}"; do
    dpkg-query --show --showformat='${db:Status-Status}' "$package" 2>/dev/null | grep -qx installed || missing+=("$package")
done
[ ${#missing[@]} -eq 0 ] && exit 0
echo "installing: ${missing[*]}"
sudo=$([ "$(id -u)" = 0 ] || echo sudo)
export DEBIAN_FRONTEND=noninteractive
# Servers come as programs here, not as services: what Debian would start with the package stays off.
policy=/usr/sbin/policy-rc.d
if [ ! -e $policy ]; then
    printf '#!/bin/sh\nexit 101\n' | $sudo tee $policy >/dev/null
    $sudo chmod 755 $policy
    trap '$sudo rm -f $policy' EXIT
fi
$sudo apt-get update -qq
$sudo apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null
# Nor do they start with the host's next boot. Only what was installed just now is touched.
for package in "${missing[@]}"; do
    case $package in
    openssh-server) service=ssh ;;
    nginx-light) service=nginx ;;
    kea-dhcp4-server | openipmi | tftpd-hpa) service=$package ;;
    *) continue ;;
    esac
    [ ! -d /run/systemd/system ] || $sudo systemctl disable --quiet "$service" || true
done
