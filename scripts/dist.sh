#!/bin/bash
# dist/: static binaries, boot files, a systemd unit, a Debian package.
set -euo pipefail
cd "$(dirname "$0")/.."
version=$(out/bin/hostler version | grep -oE '[0-9]+\.[0-9]+\.[0-9]+' | head -1)
rm -rf dist && mkdir -p dist
cp out/bin/hostler out/bin/hostler-init packaging/hostler.service packaging/hostler.sysusers dist/
cp -r out/boot dist/boot
root=$(mktemp -d)
trap 'rm -rf "$root"' EXIT
chmod 755 "$root"
install -Dm755 out/bin/hostler "$root/usr/bin/hostler"
install -Dm644 packaging/hostler.service "$root/lib/systemd/system/hostler.service"
install -Dm644 packaging/hostler.sysusers "$root/usr/lib/sysusers.d/hostler.conf"
install -Dm644 LICENSE "$root/usr/share/doc/hostler/copyright"
install -Dm644 docs/security-hardening.md "$root/usr/share/doc/hostler/security-hardening.md"
mkdir -p "$root/usr/share/hostler/boot" "$root/etc/hostler" "$root/DEBIAN"
cp out/boot/* "$root/usr/share/hostler/boot/"
install -m755 packaging/debian/postinst packaging/debian/prerm packaging/debian/postrm "$root/DEBIAN/"
cat >"$root/DEBIAN/control" <<END
Package: hostler
Version: $version
Architecture: $(dpkg --print-architecture)
Maintainer: Hostler <hostler@localhost>
Depends: passwd, util-linux
Recommends: mmdebstrap, qemu-utils, openssh-client, mtools, dosfstools, e2fsprogs, gdisk, grub-common, grub-pc-bin, grub-efi-amd64-bin
Section: admin
Priority: optional
Description: operating system for the rack
 Finds the machines of a rack, keeps the record of them, boots them from the
 network, and installs an operating system by one API call.
END
dpkg-deb --root-owner-group --build "$root" "dist/hostler_${version}_$(dpkg --print-architecture).deb" >/dev/null
ls -l dist
