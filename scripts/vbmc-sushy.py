#!/usr/bin/env python3
"""OpenStack's sushy, unmodified, drives a virtual BMC. usage: vbmc-sushy.py URL CA"""
import sys

import sushy
from sushy import auth

url, ca = sys.argv[1:3]
root = sushy.Sushy(url, auth=auth.SessionOrBasicAuth("admin", "hostler-lab"), verify=ca)
system = root.get_system("/redfish/v1/Systems/1")
assert system.power_state == sushy.POWER_STATE_OFF
assert system.memory_summary.size_gib == 64
assert len(system.processors.get_members()) == 2
assert [card.mac_address for card in system.ethernet_interfaces.get_members()] == ["52:54:00:78:00:02", "52:54:00:78:00:03"]
assert [drive.serial_number for drive in system.storage.get_members()[0].drives] == ["SIM0001-D0", "SIM0001-D1"]

system.set_system_boot_options(
    target=sushy.BOOT_SOURCE_TARGET_UEFI_HTTP, enabled=sushy.BOOT_SOURCE_ENABLED_ONCE,
    mode=sushy.BOOT_SOURCE_MODE_UEFI, http_boot_uri="http://10.77.0.1/boot.efi")
system.refresh(force=True)
assert system.boot.target == sushy.BOOT_SOURCE_TARGET_UEFI_HTTP
assert system.boot.http_boot_uri == "http://10.77.0.1/boot.efi"
system.reset_system(sushy.RESET_TYPE_ON)
system.refresh(force=True)
assert system.power_state == sushy.POWER_STATE_ON

media = root.get_manager("/redfish/v1/Managers/1").virtual_media.get_members()[0]
media.insert_media("http://10.77.0.1/debian.iso", inserted=True, write_protected=True)
media.refresh(force=True)
assert media.inserted and media.image == "http://10.77.0.1/debian.iso"
media.eject_media()
media.refresh(force=True)
assert not media.inserted

system.bios.set_attribute("SriovEnabled", True)
assert system.bios.pending_attributes == {"SriovEnabled": True}
chassis = root.get_chassis("/redfish/v1/Chassis/1")
assert [round(t.reading_celsius) for t in chassis.thermal.temperatures] == [22, 48]
system.reset_system(sushy.RESET_TYPE_FORCE_OFF)
system.refresh(force=True)
assert system.power_state == sushy.POWER_STATE_OFF
