"""What metadata-clients.py runs of other people's programs inside a machine: Amazon's ec2-metadata, PyPI's, Ignition."""
import json

from metadata_rack import encoded, read_drive, sh

LIBRARY = """
import json
from ec2_metadata import ec2_metadata as seen
print(json.dumps({"id": seen.instance_id, "region": seen.region, "zone": seen.availability_zone, "address": seen.private_ipv4,
    "mac": seen.mac, "document": seen.instance_identity_document["instanceId"], "tags": dict(seen.tags),
    "ports": {seen.mac: seen.network_interfaces[seen.mac].private_ipv4s}}))
"""


def ec2(check, run_in, one, cache, instance, tag):
    """`one` runs with a key called ada, and with `tag`, a name and a value."""
    done = one.inside("bash", cache / "ec2-metadata/usr/bin/ec2-metadata", "--all", check=False)
    said = done.stdout
    check("Amazon's ec2-metadata: instance, address, zone", all(line in said.splitlines() for line in (
        f"instance-id: {instance}", f"local-ipv4: {one.address}", "placement: z-ufc-rich-u1f384b")), said + done.stderr)
    check("Amazon's ec2-metadata: keys and tags", "ssh-ed25519 " in said and f"{tag[0]}: {tag[1]}" in said, said)
    check("Amazon's ec2-metadata: no user-data without the key", "user-data: not available" in said, said)
    seen = run_in(one, LIBRARY)
    check("PyPI's ec2-metadata: the same", [seen.get(name) for name in ("id", "region", "zone", "address", "mac", "document")] == [
        instance, "z-ufc-rich-u1f384", "z-ufc-rich-u1f384b", one.address, one.mac, instance], seen)
    check("PyPI's ec2-metadata: tags and ports", (seen.get("tags") or {}).get(tag[0]) == tag[1] and seen.get("ports", {}).get(one.mac) == [one.address], seen)


def ignition(check, rack, one, cache):
    """Debian's Ignition, with the kernel command line that an image of its kind is started with."""
    sh(rack.hostler, "image", "add", "ignition", rack.work / "image.raw", "--state-dir", rack.state, "--kernel-arguments",
       "ignition.platform.id=metal ignition.config.url={config-url}")
    config = {"ignition": {"version": "3.3.0"}, "storage": {"files": [{"path": "/etc/hostname", "contents": {"source": "data:,web-1"}}]}}
    _, drive = one.install(image="ignition", restart="kexec", userData=encoded(json.dumps(config)))
    line = one.work["kernelArguments"]
    check("Ignition: the URL is in the kernel's arguments, and nothing else that is secret", "/hostler/v1/config/" in line and "/k/" not in line, line)

    def fetch():
        work = rack.work / "ignition"
        work.mkdir(exist_ok=True)
        (work / "cmdline").write_text(line + "\n")
        cached = work / "config"
        cached.unlink(missing_ok=True)
        # Its own view of the command line, and a /run that is not the host's.
        done = one.inside(
            "unshare", "-m", "sh", "-c", 'mount --bind "$1" /proc/cmdline && mount -t tmpfs none /run && mkdir /run/ignition && exec "$2" '
            '--platform metal --stage fetch --log-to-stdout --fetch-timeout 5s --config-cache "$3" --state-file /run/ignition/state', "sh",
            work / "cmdline", cache / "ignition/usr/lib/dracut/modules.d/30ignition/ignition", cached, check=False, timeout=60)
        return (json.loads(cached.read_text()) if cached.exists() else None), done.stdout[-1500:] + done.stderr[-500:]

    found, said = fetch()
    check("Ignition fetches its configuration", bool(found) and [
        file["path"] for file in found["storage"]["files"]] == ["/etc/hostname"], said)
    found, said = fetch()
    check("Ignition: a second time there is none", not found and "Forbidden" in said, said)
    one.call_home(next(word for word in read_drive(drive, "vendor-data").decode().split() if word.startswith("http://")))
