import Foundation
import Glibc
import Store
import Testing

@Suite("what is acknowledged stays", .serialized)
struct DurabilityTests {
    /// The test-support program, built beside the test runner.
    private static var crasher: URL {
        let runner = (try? FileManager.default.destinationOfSymbolicLink(atPath: "/proc/self/exe")) ?? ""
        return URL(fileURLWithPath: runner).deletingLastPathComponent().appendingPathComponent("store-crasher")
    }

    @Test("kill -9 at any moment loses nothing acknowledged and tears nothing")
    func kill() async throws {
        let fixture = try StoreFixture()
        var random = Seeded(seed: 20_260)
        var acknowledged: [Int: Int] = [:]
        var newest: Int64 = 0
        for round in 0..<10 {
            let process = Process()
            let pipe = Pipe()
            process.executableURL = Self.crasher
            process.arguments = [fixture.path]
            process.standardOutput = pipe
            try process.run()
            // The moment: after so many acknowledgements, and some microseconds more.
            let target = Int.random(in: 1...1500, using: &random)
            var output = Data()
            while output.count(where: { $0 == 0x0a }) < target {
                let data = pipe.fileHandleForReading.availableData
                try #require(!data.isEmpty, "store-crasher ended by itself in round \(round)")
                output += data
            }
            usleep(UInt32.random(in: 0...3000, using: &random))
            Glibc.kill(process.processIdentifier, SIGKILL)
            output += pipe.fileHandleForReading.readDataToEndOfFile()
            process.waitUntilExit()
            for line in String(decoding: output, as: UTF8.self).split(separator: "\n") {
                let fields = line.split(separator: " ").compactMap { Int64($0) }
                try #require(fields.count == 3, "line \(line)")
                newest = max(newest, fields[0])
                acknowledged[Int(fields[1])] = Int(fields[2])
            }

            let store = try fixture.open()
            #expect(try await store.currentRevision().rawValue >= newest)
            #expect(store.loss == nil)
            for (writer, number) in acknowledged {
                let left = try await store.get("/left/\(writer)")
                let right = try await store.get("/right/\(writer)")
                let found = left.flatMap { Int(String(decoding: $0.value, as: UTF8.self)) } ?? -1
                #expect(found >= number && found <= number + 1, "round \(round), writer \(writer)")
                #expect(left?.value == right?.value && left?.modifiedRevision == right?.modifiedRevision)
            }
            // The history is whole: every revision is there, each with both its puts.
            let end = try await store.currentRevision().rawValue
            var expected: Int64 = 0
            for try await batch in try await store.watch(prefix: "/", after: .zero) {
                expected += 1
                try #require(batch.revision.rawValue == expected && batch.events.count == 2)
                if expected == end { break }
            }
            try await store.close()
        }
    }

    @Test("a disk that is full answers so, and the store works again when there is room")
    func fullDisk() async throws {
        let fixture = try StoreFixture()
        let mountPoint = fixture.directory + "/state"
        try FileManager.default.createDirectory(atPath: mountPoint, withIntermediateDirectories: true)
        // Without the right to mount, SQLiteStoreTests has the portable form of this.
        guard mount("tmpfs", mountPoint, "tmpfs", 0, "size=4m") == 0 else { return }
        defer { umount2(mountPoint, Int32(MNT_DETACH)) }
        let store = try fixture.open()
        try await store.put("/first", "1")
        let filler = mountPoint + "/filler"
        let file = Glibc.open(filler, O_WRONLY | O_CREAT, 0o600)
        let block = [UInt8](repeating: 1, count: 4096)
        while write(file, block, block.count) > 0 {}
        Glibc.close(file)

        var failure: StoreError?
        var written = 1
        for number in 0..<2000 where failure == nil {
            do {
                try await store.put("/k/\(number)", String(repeating: "x", count: 2000))
                written += 1
            } catch let error as StoreError {
                failure = error
            }
        }
        guard case .diskFull? = failure else { throw failure ?? .closed }
        #expect(try await store.currentRevision().rawValue == Int64(written))
        try FileManager.default.removeItem(atPath: filler)
        for number in 0..<100 { try await store.put("/after/\(number)", "y") }
        #expect(try await store.currentRevision().rawValue == Int64(written + 100))
        #expect(try await store.list(prefix: "/k/", after: nil, limit: 9999).values.count == written - 1)
        try await store.close()
        let again = try fixture.open()
        #expect(try await again.currentRevision().rawValue == Int64(written + 100))
        try await again.close()
    }

    @Test("group commit: commits per second at some concurrencies", arguments: [1, 64, 256, 512])
    func throughput(_ committers: Int) async throws {
        let fixture = try StoreFixture()
        let store = try fixture.open()
        let each = max(committers == 1 ? 400 : 8000 / committers, 1)
        let clock = ContinuousClock()
        let elapsed = try await clock.measure {
            try await withThrowingTaskGroup(of: Void.self) { group in
                for committer in 0..<committers {
                    group.addTask {
                        for number in 0..<each {
                            try await store.put(
                                "/leases/\(committer)-\(number % 8)", "0123456789abcdef0123456789abcdef")
                        }
                    }
                }
                try await group.waitForAll()
            }
        }
        let seconds = Double(elapsed.components.seconds) + Double(elapsed.components.attoseconds) / 1e18
        print("store: \(committers) committers, \(Int(Double(committers * each) / seconds)) durable commits/s")
        #expect(try await store.currentRevision().rawValue == Int64(committers * each))
        try await store.close()
    }
}

struct Seeded: RandomNumberGenerator {
    var seed: UInt64

    mutating func next() -> UInt64 {
        seed = seed &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
        return (seed ^ seed >> 29) &* 0xbf58_476d_1ce4_e5b9
    }
}
