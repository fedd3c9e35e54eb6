import Control
import Foundation
import Logging
import Model
import NIOCore
import NIOHTTP1
import NetBoot
import Store
import Testing
import Wire

@testable import BootServices

/// Issue 18, line 6: the program that a machine gets starts the system of its own installation, whichever disk has it.
@Suite("The disk's loader")
struct DiskLoaderTests {
    static let id = OperationID(unchecked: "op-7f3k2q9a")
    static let mark = BootMark(sector: 0x1234_5678_9abc, head: String(repeating: "a5", count: 28))
    static let mac = MACAddress(value: 0x5254_0078_0001)

    /// Files as packaging/boot makes them: with a place for the name.
    private static func folder() throws -> TemporaryFolder {
        let folder = try TemporaryFolder()
        let filler = Data((0..<70_000).map { UInt8(truncatingIfNeeded: $0 &* 31 >> 2) & 0x3f })
        try folder.write("local-disk.efi", filler + Data(repeating: UInt8(ascii: "@"), count: 48) + filler)
        try folder.write("local-disk.0", Data("code".utf8) + Data("HSTLRTGT".utf8) + Data(count: 36))
        return folder
    }

    @Test("a copy's name says what is written into it, and only one name says it")
    func names() throws {
        let bios = DiskLoader.bios(try #require(Self.mark))
        for loader in [DiskLoader.uefi(Self.id), bios] { #expect(DiskLoader(name: loader.name) == loader) }
        for name in [
            "local-disk.efi", "local-disk-.efi", "local-disk-op-.efi", "local-disk-op-7F3K2Q.efi", "local-disk-m-7f3k2q.efi", "local-disk-../x.efi",
            "local-disk-op-7f3k2q\n.efi", "local-disk-op-\(String(repeating: "0", count: 60)).efi", "local-disk-.0", "local-disk-0-.0",
            "local-disk-0\(bios.name.dropFirst(11))", bios.name.uppercased(), bios.name.replacing("a5", with: "A5"), bios.name + "x",
            "local-disk-ffffffffffffffff-\(String(repeating: "a5", count: 28)).0", "local-disk-\(String(repeating: "f", count: 400))",
        ] {
            #expect(DiskLoader(name: name) == nil, "\(name)")
        }
    }

    @Test("by TFTP and by HTTP it is the same file with the same name in it, in pieces of any size", arguments: [0, 1])
    func copies(_ kind: Int) async throws {
        let folder = try Self.folder()
        let source = BootFolder(path: folder.path)
        let loader = kind == 0 ? DiskLoader.uefi(Self.id) : .bios(try #require(Self.mark))
        let plain = Array(try Data(contentsOf: URL(filePath: folder.path + "/" + loader.template)))
        let copy = try source.copy(loader)
        #expect(copy.count == plain.count && copy != plain)
        let different = copy.indices.filter { copy[$0] != plain[$0] }
        #expect(different.count <= loader.content.count)
        let first = try #require(different.first)
        #expect(kind == 1 || String(decoding: copy[first..<first + 11], as: UTF8.self) == Self.id.rawValue)
        let file = try await source.open(loader.name, from: SocketAddress(ipAddress: "127.0.0.1", port: 1))
        #expect(file.bytes == UInt64(plain.count))
        for piece in [512, 1468, 7, 65_536] as [UInt64] {
            var buffer = ByteBuffer()
            var at: UInt64 = 0
            while at < file.bytes {
                try file.write(at..<min(file.bytes, at + piece), to: &buffer)
                at += piece
            }
            #expect(Array(buffer.readableBytesView) == copy)
        }
        withExtendedLifetime(folder) {}
    }

    @Test("boot files of a former version, without a place for the name, are sent as they are")
    func formerFiles() async throws {
        let folder = try TemporaryFolder()
        try folder.write("local-disk.efi", Data("an older loader".utf8))
        let source = BootFolder(path: folder.path)
        #expect(try source.copy(.uefi(Self.id)) == Array("an older loader".utf8))
        #expect(source.has(DiskLoader.uefi(Self.id).name) && !source.has("local-disk.0"))
        await #expect(throws: TFTPFileError.self) {
            try await source.open(DiskLoader.bios(try #require(Self.mark)).name, from: SocketAddress(ipAddress: "127.0.0.1", port: 1))
        }
    }

    @Test("firmware is told the name of its own system's loader")
    func offered() throws {
        let network = BootNetwork(name: "test", interface: "eth0", address: try #require(IPv4Prefix("10.78.0.1/24")))
        let files = BootFiles(network: network) { $0 == "local-disk.efi" }
        let question = BootQuestion(mac: Self.mac, architecture: .efiX8664, isPXEClient: true)
        #expect(files.answer(to: question, toLocalDisk: true, system: Self.id)?.bootFile == "local-disk-op-7f3k2q9a.efi")
        #expect(files.answer(to: question, toLocalDisk: true)?.bootFile == "local-disk.efi")
    }

    // MARK: The boot script

    /// A machine whose system is known by its operation and its marker.
    private func routes(_ folder: TemporaryFolder, mark: BootMark?, neighbour: MACAddress = mac) async throws -> BootRoutes {
        let store = MemoryStore()
        var machine = Machine(
            id: MachineID(unchecked: "m-test01"), name: try DisplayName("one"), interfaces: [Interface(mac: Self.mac)], now: .first)
        machine.state = .running
        var installed = Installation(
            operation: Self.id, generation: 1, image: "i", digest: "d", hostname: "h", diskSerial: "D2", installedAt: .first)
        installed.seedNamesOperation = mark == nil ? nil : true
        installed.bootMark = mark
        machine.installed = installed
        _ = try await store.commit([.put(key: machine.key, value: try RecordCoding.encode(machine), if: .absent)])
        let leases = LeaseTable()
        leases.set(
            DHCPLease(
                address: try address("10.78.0.50"), client: .mac(Self.mac), mac: Self.mac, grantedMilliseconds: 0, expiresMilliseconds: .max,
                state: .bound))
        return BootRoutes(
            network: BootNetwork(name: "test", interface: "eth0", address: try #require(IPv4Prefix("10.78.0.1/24"))),
            control: try await openControl(store), files: BootFilePaths(boot: folder.path, blobs: folder.path), leases: leases,
            logger: Logger(label: "test")
        ) { _ in neighbour }
    }

    private func get(_ routes: BootRoutes, _ target: String) async throws -> (status: Int, bytes: [UInt8]) {
        let (path, query) = FormText.split(target)
        let reply = await routes.respond(
            to: BootRequest(
                method: .GET, path: path, query: query, headers: HTTPHeaders(), body: [],
                remote: try SocketAddress(ipAddress: "10.78.0.50", port: 1234), frameSource: Self.mac))
        guard case .bytes(let status, _, let bytes) = reply else { return (0, []) }
        return (Int(status.code), bytes)
    }

    @Test("a BIOS is sent to the disk with the marker, and what it is given for that is there")
    func biosScript() async throws {
        let folder = try Self.folder()
        let routes = try await routes(folder, mark: Self.mark)
        let script = String(decoding: try await get(routes, "/boot/script?mac=\(Self.mac)&platform=bios").bytes, as: UTF8.self)
        let name = DiskLoader.bios(try #require(Self.mark)).name
        #expect(script.contains("imgfetch --name local-disk http://10.78.0.1:8080/boot/\(name) || goto retry\n") && !script.contains("sanboot"))
        #expect(try await get(routes, "/boot/\(name)").status == 200)
        let efi = String(decoding: try await get(routes, "/boot/script?mac=\(Self.mac)&platform=efi").bytes, as: UTF8.self)
        #expect(efi.contains("chain http://10.78.0.1:8080/boot/local-disk-op-7f3k2q9a.efi || exit 1\n"))
        #expect(try await get(routes, "/boot/local-disk-op-7f3k2q9a.efi").status == 200)
        #expect(try await get(routes, "/boot/local-disk-op-7f3k2q9a.0").status == 404)
    }

    @Test("a system of a former version is started as it was")
    func formerScript() async throws {
        let routes = try await routes(try Self.folder(), mark: nil)
        let bios = String(decoding: try await get(routes, "/boot/script?mac=\(Self.mac)&platform=bios").bytes, as: UTF8.self)
        #expect(bios.contains("sanboot --no-describe --drive 0x80") && !bios.contains("imgfetch"))
        let efi = String(decoding: try await get(routes, "/boot/script?mac=\(Self.mac)&platform=efi").bytes, as: UTF8.self)
        #expect(efi.contains("/boot/local-disk.efi"))
    }

    @Test("that a BIOS shows no such disk is heard from the machine itself only")
    func missing() async throws {
        let target = "/boot/script?mac=\(Self.mac)&platform=bios&missing=\(try #require(Self.mark).head)"
        let folder = try Self.folder()
        let honest = try await routes(folder, mark: Self.mark)
        let plain = String(decoding: try await get(honest, target).bytes, as: UTF8.self)
        #expect(plain.contains("sanboot --no-describe --drive 0x80") && !plain.contains("imgfetch"), "it starts what it has")
        func events(_ routes: BootRoutes) async throws -> Int {
            try await routes.control.records.all(Event.self).filter { $0.value.kind == "boot.system-missing" }.count
        }
        #expect(try await events(honest) == 1)
        let forged = try await routes(folder, mark: Self.mark, neighbour: MACAddress(value: 0x5254_0078_0066))
        #expect(String(decoding: try await get(forged, target).bytes, as: UTF8.self).contains("is not the one that was given to"))
        #expect(try await events(forged) == 0)
        let other = String(decoding: try await get(honest, target.dropLast(2) + "00").bytes, as: UTF8.self)
        #expect(other.contains("imgfetch"), "of another installation: it is sent to look for its own")
    }
}
