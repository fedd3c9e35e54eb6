import BlockIO
import Foundation
import Testing

@Suite("A FAT volume that somebody else made")
struct FATReaderTests {
    static func reader(_ bytes: [UInt8]) throws -> FATReader {
        try FATReader { count, offset in
            guard offset <= UInt64(bytes.count), count <= bytes.count - Int(offset) else { throw FATReadError.outside }
            return Array(bytes[Int(offset)..<Int(offset) + count])
        }
    }

    /// An EFI system partition as mkfs.vfat and mtools make it, with so many files beside the loader that its folder has several
    /// clusters.
    static func systemPartition(bits: Int, sector: Int, mebibytes: Int, in directory: TemporaryDirectory) throws -> [UInt8] {
        let path = directory.path + "/esp-\(bits)-\(sector)"
        try Data("loader".utf8).write(to: URL(fileURLWithPath: directory.path + "/loader"))
        let script = """
            truncate -s \(mebibytes)M \(path) && mkfs.vfat -F \(bits) -S \(sector) -s 1 \(path) >/dev/null \
            && mmd -i \(path) ::/EFI ::/EFI/BOOT ::/EFI/debian \
            && for n in $(seq 40); do echo $n > \(directory.path)/f$n; mcopy -i \(path) \(directory.path)/f$n ::/EFI/BOOT/other$n.txt; done \
            && mcopy -i \(path) \(directory.path)/loader ::/EFI/BOOT/bootx64.efi
            """
        let made = try tool("sh", "-c", script)
        #expect(made.status == 0, "\(made.output.text)")
        return Array(try Data(contentsOf: URL(fileURLWithPath: path)))
    }

    @Test(
        "is read in each kind and sector size, over several clusters of a folder",
        arguments: [(12, 512, 2), (16, 512, 16), (32, 512, 40), (12, 4096, 8), (32, 4096, 300)])
    func kinds(_ bits: Int, _ sector: Int, _ mebibytes: Int) throws {
        let directory = try TemporaryDirectory()
        let reader = try Self.reader(try Self.systemPartition(bits: bits, sector: sector, mebibytes: mebibytes, in: directory))
        #expect(reader.sectorBytes == sector)
        let files = try #require(try reader.entries(of: ["EFI", "boot"]))
        let loader = try #require(files.first { $0.name == "BOOTX64.EFI" })
        #expect(loader.byteCount == 6 && !loader.isFolder)
        #expect(files.count == 43, "two dots, forty others, the loader")
        #expect(try reader.entries(of: ["EFI", "MISSING"]) == nil)
        #expect(try reader.entries(of: ["EFI", "BOOT", "BOOTX64.EFI"]) == nil, "a file is no folder")
    }

    @Test("of our own making is read as well", arguments: [512, 4096])
    func own(_ sector: Int) throws {
        let volume = try FATVolume(label: "CIDATA", files: [.init(name: "hostler/key", contents: [1])], volumeBytes: 2 << 20, sectorBytes: sector)
        // Its short names are HOSTLE~1 and KEY~1.
        #expect(try Self.reader(volume.bytes).entries(of: ["hostler"])?.map(\.name) == [".", "..", "KEY"])
    }

    @Test("never ends the program, whatever bytes it has: cut off, flipped, in a circle")
    func hostile() throws {
        let directory = try TemporaryDirectory()
        var generator = SystemRandomNumberGenerator()
        for bits in [12, 16] {
            let bytes = try Self.systemPartition(bits: bits, sector: 512, mebibytes: bits == 12 ? 2 : 16, in: directory)
            for count in stride(from: 0, to: 4096, by: 1) { _ = try? Self.reader(Array(bytes.prefix(count))).entries(of: ["EFI", "BOOT"]) }
            for _ in 0..<3000 {
                var flipped = bytes
                for _ in 0..<4 {
                    flipped[Int.random(in: 0..<64, using: &generator)] = UInt8.random(in: 0...255, using: &generator)
                }
                _ = try? Self.reader(flipped).entries(of: ["EFI", "BOOT"])
            }
            // Each entry of the table leads to the folder itself: its chain never ends.
            var circle = bytes
            let table = 512 * (Int(bytes[14]) | Int(bytes[15]) << 8)
            for index in 4..<2000 where table + index * 2 + 1 < circle.count {
                circle[table + index * 2] = bits == 12 ? 0x03 : 0x04
                circle[table + index * 2 + 1] = bits == 12 ? 0x30 : 0x00
            }
            _ = try? Self.reader(circle).entries(of: ["EFI", "BOOT"])
        }
        #expect(throws: FATReadError.notFAT) { try Self.reader([UInt8](repeating: 0, count: 4096)) }
    }
}
