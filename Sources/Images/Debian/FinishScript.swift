/// The shell script that makes a fresh Debian tree into an image: run inside it by chroot, as the last thing before
/// the file system is made. Its parameters come by environment.
enum FinishScript {
    /// Where the script leaves GRUB's images, inside the tree.
    static let bootFiles = ["boot.img", "core.img", "BOOTX64.EFI"]
    static let bootDirectory = "tmp/boot-files"

    static func environment(_ request: DebianImageRequest) -> [String: String] {
        [
            "ROOT_UUID": request.uuid("root"),
            "ESP_UUID": request.espVolumeNumber,
            "KERNEL_ARGS": request.kernelArguments,
            "SOURCE_DATE_EPOCH": "\(request.sourceDateEpoch)",
        ]
    }

    static let text = #"""
        set -eu

        cat > /etc/fstab <<END
        UUID=$ROOT_UUID / ext4 errors=remount-ro 0 1
        UUID=$ESP_UUID /boot/efi vfat umask=0077,nofail,x-systemd.device-timeout=10s 0 0
        END
        mkdir -p /boot/efi /boot/grub

        # Boot loader. update-grub in the running system replaces grub.cfg by what /etc/default/grub says.
        cat > /etc/default/grub <<END
        # Made with the image. Run update-grub after a change.
        GRUB_DEFAULT=0
        GRUB_TIMEOUT=0
        GRUB_DISTRIBUTOR=Debian
        GRUB_CMDLINE_LINUX_DEFAULT=""
        GRUB_CMDLINE_LINUX="$KERNEL_ARGS"
        GRUB_TERMINAL="console serial"
        GRUB_SERIAL_COMMAND="serial --unit=0 --speed=115200"
        END
        cat > /boot/grub/grub.cfg <<END
        # Made with the image; update-grub replaces it.
        serial --unit=0 --speed=115200
        terminal_input console serial
        terminal_output console serial
        set default=0
        set timeout=0
        menuentry 'Debian GNU/Linux' {
            search --no-floppy --fs-uuid --set=root $ROOT_UUID
            linux /vmlinuz root=UUID=$ROOT_UUID ro $KERNEL_ARGS
            initrd /initrd.img
        }
        END
        # GRUB is this Debian's own, so that the modules it loads later are of the same version.
        mkdir -p /tmp/boot-files
        cat > /tmp/early.cfg <<END
        search --no-floppy --fs-uuid --set=root $ROOT_UUID
        set prefix=(\$root)/boot/grub
        END
        modules="part_gpt part_msdos ext2 fat search search_fs_uuid normal configfile linux boot echo test serial
            terminal minicmd ls cat halt reboot loadenv"
        for platform in i386-pc x86_64-efi; do
            mkdir -p /boot/grub/$platform
            cp /usr/lib/grub/$platform/*.mod /usr/lib/grub/$platform/*.lst /boot/grub/$platform
        done
        grub-mkimage -O i386-pc -c /tmp/early.cfg -p /boot/grub -o /tmp/boot-files/core.img $modules biosdisk
        grub-mkimage -O x86_64-efi -c /tmp/early.cfg -p /boot/grub -o /tmp/boot-files/BOOTX64.EFI $modules efi_gop efi_uga
        cp /usr/lib/grub/i386-pc/boot.img /tmp/boot-files/boot.img
        rm /tmp/early.cfg

        # cloud-init is Debian's, unmodified: it finds the NoCloud seed by its label. These are only defaults, which
        # user-data overrides: no RSA host key (seconds on a slow machine), no debconf for a grub package not here.
        cat > /etc/cloud/cloud.cfg.d/90_image.cfg <<END
        ssh_genkeytypes: [ed25519, ecdsa]
        grub_dpkg: {enabled: false}
        END
        echo 'LANG=C.UTF-8' > /etc/default/locale
        systemctl enable -q systemd-networkd.service systemd-resolved.service
        # Only of use with LVM, which is not here.
        systemctl disable -q e2scrub_reap.service e2scrub_all.timer
        ln -sf ../run/systemd/resolve/stub-resolv.conf /etc/resolv.conf

        # What every machine makes its own of at first boot, and what no machine needs.
        rm -f /etc/ssh/ssh_host_* /var/lib/dbus/machine-id /var/lib/systemd/random-seed /etc/hostname
        : > /etc/machine-id
        rm -f /vmlinuz.old /initrd.img.old /etc/*- /var/cache/debconf/*-old /var/lib/dpkg/*-old /var/log/*.log
        rm -rf /var/log/apt/* /var/cache/ldconfig /run/* /var/lib/apt/lists/*

        # Python's compiled files carry their sources' dates, so dates first. mmdebstrap's are checked by hash, which
        # reads every source again at each start.
        touch /etc/.updated /var/.updated
        find / -xdev -newermt "@$SOURCE_DATE_EPOCH" -exec touch -h -d "@$SOURCE_DATE_EPOCH" {} +
        env -u SOURCE_DATE_EPOCH python3 -m compileall -f -q --invalidation-mode timestamp \
            /usr/lib/python3 /usr/lib/python3.* >/dev/null || true
        find / -xdev -newermt "@$SOURCE_DATE_EPOCH" -exec touch -h -d "@$SOURCE_DATE_EPOCH" {} +
        """#
}
