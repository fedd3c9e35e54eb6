import Store

extension ConformanceCase {
    static var secretCases: [ConformanceCase] {
        [
            ConformanceCase(name: "a secret is read, listed, replaced and deleted as every other value") { store in
                for size in [0, 1, 3999, 4000, 4001, 8000, 100_000] {
                    let key = "/secrets/s/\(size)"
                    let value = (0..<size).map { UInt8(truncatingIfNeeded: $0 &* 7) }
                    let made = try await store.commit([.put(key: key, value: value, if: .absent)])
                    try requireEqual(
                        try await store.get(key), StoredValue(key: key, value: value, createdRevision: made, modifiedRevision: made),
                        "\(size) bytes")
                    let error = try await storeError("a second one") { try await store.put(key, "x", if: .absent) }
                    try requireEqual(error, .conflict(key: key, current: made), "conflict")
                    let changed = try await store.commit([.put(key: key, value: value + [1], if: .revision(made))])
                    try requireEqual(
                        try await store.get(key),
                        StoredValue(key: key, value: value + [1], createdRevision: made, modifiedRevision: changed), "\(size) bytes, replaced")
                }
                try await store.put("/secrets0", "beside them")
                try await store.put("/secret", "before them")
                let listed = try await store.all(prefix: "/secrets/", pageSize: 3)
                try requireEqual(listed.map(\.value.count).sorted(), [1, 2, 4000, 4001, 4002, 8001, 100_001], "sizes")
                let all = try await store.all(prefix: "/", pageSize: 2).map(\.key)
                try requireEqual(all, ["/secret"] + listed.map(\.key) + ["/secrets0"], "all keys")
                try await store.commit(listed.map { .delete(key: $0.key, if: .revision($0.modifiedRevision)) })
                try requireEqual(try await store.all(prefix: "/secrets/", pageSize: 9), [], "after the deletion")
                try requireEqual(try await store.all(prefix: "/", pageSize: 9).count, 2, "the others stay")
            },
            ConformanceCase(name: "secrets have no history: no watch shows them, from whatever revision, and none stumbles over them") { store in
                try await store.put("/a", "1")
                try await store.put("/secrets/s", "first")
                try await store.commit([
                    .put(key: "/a", value: [2], if: .none), .put(key: "/secrets/s", value: Array("second".utf8), if: .none),
                ])
                try await store.commit([.delete(key: "/secrets/s", if: .exists)])
                try await store.put("/secrets/t", "third")
                for revision in 0...4 as ClosedRange<Int64> {
                    var all = try await store.watch(prefix: "/", after: Revision(rawValue: revision)).makeAsyncIterator()
                    var expected = [1, 3].filter { $0 > revision }
                    let end = try await store.put("/end", "\(revision)").rawValue
                    // What the cases before this one put at the end is seen too.
                    expected += Array(6...end)
                    for number in expected {
                        let batch = try await all.next()
                        try requireEqual(batch?.revision.rawValue, number, "after \(revision)")
                        try require(batch?.events.contains { SecretKeys.contains($0.key) } == false, "a secret in \(number)")
                    }
                }
                var alone = try await store.watch(prefix: "/secrets/", after: .zero).makeAsyncIterator()
                try await store.put("/secrets/u", "live")
                try await store.close()
                let end = try await storeError("a watch of secrets alone") { _ = try await alone.next() }
                try requireEqual(end, .closed, "its end")
            },
            ConformanceCase(name: "a change of secrets alone makes a revision, and compaction knows it") { store in
                try await store.put("/a", "1")
                let changed = try await store.put("/secrets/s", "x")
                try requireEqual(changed.rawValue, 2, "revision")
                try requireEqual(try await store.currentRevision(), changed, "current")
                try await store.compact(before: changed)
                let error = try await storeError("watch") { _ = try await store.watch(prefix: "/", after: Revision(rawValue: 1)) }
                try requireEqual(error, .compacted(oldest: changed), "compacted")
                try requireEqual(try await store.get("/secrets/s")?.value, Array("x".utf8), "the secret stays")
            },
        ]
    }
}
