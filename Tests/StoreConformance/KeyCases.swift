import Store

extension ConformanceCase {
    static var keyCases: [ConformanceCase] {
        [
            ConformanceCase(name: "a new store is empty at revision zero") { store in
                try requireEqual(try await store.currentRevision(), .zero, "revision")
                try require(try await store.get("/a") == nil, "a key in an empty store")
                let listing = try await store.list(prefix: "/", after: nil, limit: 10)
                try require(listing.values.isEmpty && listing.nextKey == nil, "an empty listing")
            },
            ConformanceCase(name: "keys are UTF-8 text of limited length that begins with a slash") { store in
                let long = "/" + String(repeating: "k", count: StoreLimits.keyBytes - 1)
                for key in ["/a", "/🎄/é/漢", long, "/a b", "/~"] {
                    try await store.put(key, key)
                    try requireEqual(try await store.get(key)?.value, Array(key.utf8), "value of \(key)")
                }
                for key in ["", "/", "a", "/a/", "//a", "/a//b", "/a\u{0}", "/a\n", long + "k"] {
                    let error = try await storeError("put of \(key.debugDescription)") { try await store.put(key, "") }
                    guard case .invalidKey = error else { throw error }
                    let read = try await storeError("get of \(key.debugDescription)") { _ = try await store.get(key) }
                    guard case .invalidKey = read else { throw read }
                }
            },
            ConformanceCase(name: "keys that look alike but differ in bytes are different keys") { store in
                let composed = "/caf\u{e9}"
                let decomposed = "/cafe\u{301}"
                try await store.put(composed, "1")
                try await store.put(decomposed, "2")
                try requireEqual(try await store.get(composed)?.value, Array("1".utf8), "composed")
                try requireEqual(try await store.get(decomposed)?.value, Array("2".utf8), "decomposed")
                try requireEqual(try await store.list(prefix: "/cafe", after: nil, limit: 9).values.count, 1, "prefix")
            },
            ConformanceCase(name: "values of every size up to the limit come back unchanged") { store in
                for size in [0, 1, 4095, 4096, 100_000, StoreLimits.valueBytes] {
                    let value = [UInt8](unsafeUninitializedCapacity: size) { buffer, count in
                        for index in 0..<size { buffer[index] = UInt8(truncatingIfNeeded: index &* 31 &+ index >> 8) }
                        count = size
                    }
                    try await store.commit([.put(key: "/v/\(size)", value: value, if: .none)])
                    try require(try await store.get("/v/\(size)")?.value == value, "value of \(size) bytes")
                }
                let tooLarge = [UInt8](repeating: 0, count: StoreLimits.valueBytes + 1)
                let error = try await storeError("a value over the limit") {
                    try await store.commit([.put(key: "/v/x", value: tooLarge, if: .none)])
                }
                try requireEqual(
                    error, .valueTooLarge(key: "/v/x", bytes: tooLarge.count, limit: StoreLimits.valueBytes), "error")
                try require(try await store.get("/v/x") == nil, "a refused value is not there")
            },
            ConformanceCase(name: "a listing is in byte order and holds the prefix only") { store in
                let keys = ["/a", "/a!", "/a/b", "/a/b/c", "/a/é", "/a/漢", "/a/🎄", "/b", "/a/\u{10ffff}"]
                for key in keys { try await store.put(key, "") }
                let expected = keys.filter { $0.utf8.starts(with: "/a/".utf8) }
                    .sorted { $0.utf8.lexicographicallyPrecedes($1.utf8) }
                for size in 1...expected.count + 1 {
                    let found = try await store.all(prefix: "/a/", pageSize: size).map(\.key)
                    try requireEqual(found, expected, "pages of \(size)")
                }
                try requireEqual(try await store.all(prefix: "/", pageSize: 2).count, keys.count, "all keys")
                try requireEqual(
                    try await store.all(prefix: "/a/\u{10ffff}", pageSize: 2).count, 1, "the last scalar")
                let exact = try await store.list(prefix: "/a/", after: nil, limit: expected.count)
                try require(exact.nextKey == nil, "no next page after a full last one")
                let fromOutside = try await store.list(prefix: "/a/", after: "/A", limit: 100)
                try requireEqual(fromOutside.values.count, expected.count, "after a key before the prefix")
                let beyond = try await store.list(prefix: "/a/", after: "/b", limit: 100)
                try require(beyond.values.isEmpty, "after a key beyond the prefix")
            },
            ConformanceCase(name: "paging skips and repeats no untouched key while others are written") { store in
                let stable = (0..<200).map { "/p/\(1000 + $0)" }
                for key in stable { try await store.put(key, "s") }
                try await withThrowingTaskGroup(of: Void.self) { group in
                    group.addTask {
                        var random = SeededGenerator(seed: 7)
                        for _ in 0..<300 {
                            let key = "/p/\(1000 + Int.random(in: 0..<200, using: &random))x"
                            if Bool.random(using: &random) {
                                try await store.put(key, "x")
                            } else {
                                try await store.commit([.delete(key: key, if: .none)])
                            }
                        }
                    }
                    for pageSize in [1, 7, 50] {
                        let keys = try await store.all(prefix: "/p/", pageSize: pageSize).map(\.key)
                        try requireEqual(keys.filter { !$0.hasSuffix("x") }, stable, "pages of \(pageSize)")
                        try requireEqual(keys, keys.sorted(), "order")
                    }
                    try await group.waitForAll()
                }
            },
            ConformanceCase(name: "a closed store answers closed, also to a second close") { store in
                try await store.put("/a", "1")
                var events = try await store.watch(prefix: "/", after: .zero).makeAsyncIterator()
                try requireEqual(try await events.next()?.revision.rawValue, 1, "event before the close")
                try await store.close()
                try await store.close()
                let ends = try await storeError("watch") { _ = try await events.next() }
                try requireEqual(ends, .closed, "end of the watch")
                let calls: [(String, @Sendable () async throws -> Void)] = [
                    ("get", { _ = try await store.get("/a") }),
                    ("list", { _ = try await store.list(prefix: "/", after: nil, limit: 1) }),
                    ("commit", { try await store.put("/a", "2") }),
                    ("watch", { _ = try await store.watch(prefix: "/", after: .zero) }),
                    ("currentRevision", { _ = try await store.currentRevision() }),
                    ("compact", { try await store.compact(before: .zero) }),
                ]
                for (name, call) in calls {
                    try requireEqual(try await storeError(name, call), .closed, name)
                }
            },
        ]
    }
}
