"""A reader of Hostler's image format, written from docs/image-format.md alone: the judge of what is on a disk."""
import hashlib
import json
import struct
import subprocess

CHUNK = 65536
# What an installation rightly changes: the protective MBR, the GPT header and its entries (the seed's partition is added).
TABLE = 34 * 512


class Image:
    def __init__(self, store, name):
        self.blobs = store / "blobs/sha256"
        index = json.loads((store / "index.json").read_text())
        entry = next(m for m in index["manifests"] if m.get("annotations", {}).get("org.opencontainers.image.ref.name") == f"{name}:latest")
        manifest = json.loads(self.blob(entry["digest"]).read_text())
        layers = {layer["mediaType"]: layer["digest"] for layer in manifest["layers"]}
        self.disk = self.blob(layers["application/vnd.hostler.disk.v1.raw+zstd"])
        raw = self.blob(layers["application/vnd.hostler.disk.v1.index"]).read_bytes()
        magic, version, chunk, self.bytes, self.blob_bytes, runs, chunks = struct.unpack(">8sIIQQII", raw[:40])
        assert (magic, version, chunk) == (b"HOSTLIDX", 1, CHUNK), (magic, version, chunk)
        self.zero_runs = [struct.unpack_from(">II", raw, 64 + 24 * i) for i in range(runs)]
        zero = set()
        for first, count in self.zero_runs:
            zero.update(range(first, first + count))
        numbers = [n for n in range(-(-self.bytes // CHUNK)) if n not in zero]
        assert len(numbers) == chunks, (len(numbers), chunks)
        base = 64 + 24 * runs
        self.chunks = {}
        for position, number in enumerate(numbers):
            offset, length, digest = struct.unpack_from(">QI32s", raw, base + 44 * position)
            self.chunks[number] = (offset, length, digest)

    def blob(self, digest):
        return self.blobs / digest.removeprefix("sha256:")

    def frame(self, number):
        """A chunk's bytes, by the `zstd` program."""
        offset, length, _ = self.chunks[number]
        with open(self.disk, "rb") as file:
            file.seek(offset)
            return subprocess.run(["zstd", "-dc"], input=file.read(length), capture_output=True, check=True).stdout

    def write(self, path):
        """The image onto an empty disk: the blob, unpacked, is the whole of it."""
        with open(path, "r+b") as disk, subprocess.Popen(["zstd", "-dc", self.disk], stdout=subprocess.PIPE) as unpacked:
            for number in range(-(-self.bytes // CHUNK)):
                chunk = unpacked.stdout.read(CHUNK)
                if chunk.strip(b"\0"):
                    disk.seek(number * CHUNK)
                    disk.write(chunk)
        assert not self.differences(path), "the disk is not the image"

    def differences(self, path):
        """The numbers of the chunks in which a disk differs from the image, its partition table apart."""
        wrong = []
        with open(path, "rb") as disk:
            for number, (_, _, digest) in self.chunks.items():
                disk.seek(number * CHUNK)
                found = disk.read(min(CHUNK, self.bytes - number * CHUNK))
                if number == 0:
                    if found[TABLE:] != self.frame(0)[TABLE:] or found[:440] != self.frame(0)[:440]:
                        wrong.append(0)
                elif hashlib.sha256(found).digest() != digest:
                    wrong.append(number)
            for first, count in self.zero_runs:
                for number in range(first, first + count):
                    disk.seek(number * CHUNK)
                    if disk.read(min(CHUNK, self.bytes - number * CHUNK)).strip(b"\0"):
                        wrong.append(number)
        return wrong
