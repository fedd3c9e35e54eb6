#!/usr/bin/env python3
"""The DMTF's redfish library and utilities, unmodified, drive a virtual BMC. usage: vbmc-redfish.py URL CA"""
import sys

import redfish
import redfish_utilities as utilities

url, ca = sys.argv[1:3]
client = redfish.redfish_client(base_url=url, username="admin", password="hostler-lab", cafile=ca)
client.login(auth="session")
system = utilities.get_system_ids(client)[0]
path = f"/redfish/v1/Systems/{system}"
assert utilities.get_system(client, system).dict["PowerState"] == "Off"

client.patch(path, body={"Boot": {"HttpBootUri": "http://10.77.0.1/boot.efi"}})
utilities.set_system_boot(client, system, ov_target="UefiHttp", ov_enabled="Once", ov_mode="UEFI")
boot = client.get(path).dict["Boot"]
assert (boot["BootSourceOverrideTarget"], boot["HttpBootUri"]) == ("UefiHttp", "http://10.77.0.1/boot.efi"), boot
utilities.poll_task_monitor(client, utilities.system_reset(client, system, "On"))
assert utilities.get_system(client, system).dict["PowerState"] == "On"

utilities.insert_virtual_media(client, "http://10.77.0.1/debian.iso", system_id=system, media_id="Cd")
drive = utilities.get_virtual_media(client, system)[0]
assert drive["Image"] == "http://10.77.0.1/debian.iso" and drive["Inserted"], drive
utilities.eject_virtual_media(client, "Cd", system)

update = client.post("/redfish/v1/UpdateService/Actions/UpdateService.SimpleUpdate", body={"ImageURI": "http://10.77.0.1/f.bin"})
assert update.status == 202 and update.is_processing
while update.is_processing:
    update = update.monitor(client)
assert update.status == 200
utilities.system_reset(client, system, "ForceOff")
assert utilities.get_system(client, system).dict["PowerState"] == "Off"
client.logout()
