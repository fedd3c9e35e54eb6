import Store

extension ConformanceCase {
    static var watchCases: [ConformanceCase] {
        [
            ConformanceCase(name: "a watch brings the past and then the present, in order, one batch a revision") {
                store in
                try await store.put("/a/1", "x")
                try await store.commit([
                    .put(key: "/a/2", value: [2], if: .none), .put(key: "/b/1", value: [3], if: .none),
                    .delete(key: "/a/1", if: .none),
                ])
                try await store.put("/b/2", "not ours")
                var events = try await store.watch(prefix: "/a/", after: .zero).makeAsyncIterator()
                let first = try await events.next()
                try requireEqual(first?.revision.rawValue, 1, "first")
                let second = try await events.next()
                try requireEqual(second?.events.map(\.key), ["/a/2", "/a/1"], "events of one revision")
                try requireEqual(
                    second?.events.last, .delete(key: "/a/1", revision: Revision(rawValue: 2)), "deletion")
                let live = try await store.put("/a/2", "live")
                let third = try await events.next()
                let expected = StoredValue(
                    key: "/a/2", value: Array("live".utf8), createdRevision: Revision(rawValue: 2),
                    modifiedRevision: live)
                try requireEqual(third?.events, [.put(expected)], "live event")
                var later = try await store.watch(prefix: "/", after: Revision(rawValue: 3)).makeAsyncIterator()
                try requireEqual(try await later.next()?.revision.rawValue, 4, "from revision 3")
            },
            ConformanceCase(name: "watchers from any revision miss and repeat nothing under concurrent writers") {
                store in
                try await checkConcurrentWatchers(store, seed: 0x5eed)
            },
            ConformanceCase(name: "a watcher that waits gets what is committed then") { store in
                let stream = try await store.watch(prefix: "/w", after: .zero)
                async let first = firstBatch(of: stream)
                try await store.put("/x", "other")
                try await store.put("/w", "1")
                try requireEqual(try await first?.revision.rawValue, 2, "revision")
            },
            ConformanceCase(name: "a cancelled watcher ends and the store goes on") { store in
                let stream = try await store.watch(prefix: "/", after: .zero)
                let reader = Task { try await firstBatch(of: stream) }
                reader.cancel()
                _ = try? await reader.value
                try requireEqual(try await store.put("/a", "1").rawValue, 1, "revision")
            },
            ConformanceCase(name: "a watch from compacted history says where it can start") { store in
                for number in 1...10 { try await store.put("/a/\(number % 3)", "\(number)") }
                try await store.commit([.delete(key: "/a/0", if: .none)])
                let values = try await store.all(prefix: "/", pageSize: 10)
                try await store.compact(before: Revision(rawValue: 6))
                try await store.compact(before: Revision(rawValue: 2))
                try requireEqual(try await store.all(prefix: "/", pageSize: 10), values, "current values")
                let error = try await storeError("watch") {
                    _ = try await store.watch(prefix: "/", after: Revision(rawValue: 5))
                }
                guard case .compacted(let oldest) = error else { throw error }
                try requireEqual(oldest.rawValue, 6, "oldest")
                var events = try await store.watch(prefix: "/", after: oldest).makeAsyncIterator()
                for number in 7...11 as ClosedRange<Int64> {
                    try requireEqual(try await events.next()?.revision.rawValue, number, "revision")
                }
                try await store.compact(before: Revision(rawValue: 1_000_000))
                let beyond = try await storeError("watch") {
                    _ = try await store.watch(prefix: "/", after: Revision(rawValue: 10))
                }
                try requireEqual(beyond, .compacted(oldest: Revision(rawValue: 11)), "compaction of all")
                try requireEqual(try await store.put("/a/9", "on").rawValue, 12, "revisions go on")
                try requireEqual(try await events.next()?.revision.rawValue, 12, "a live watcher goes on")
            },
            ConformanceCase(name: "a watcher that does not read is cut off, and others are not") { store in
                let slow = try await store.watch(prefix: "/s/", after: .zero)
                let other = try await store.watch(prefix: "/t/", after: .zero)
                let writers = 64
                try await withThrowingTaskGroup(of: Void.self) { group in
                    for writer in 0..<writers {
                        group.addTask {
                            for _ in 0...StoreLimits.watchBuffer / writers { try await store.put("/s/\(writer)", "") }
                        }
                    }
                    try await group.waitForAll()
                }
                let end = try await storeError("slow watcher") { for try await _ in slow {} }
                try requireEqual(end, .watcherTooSlow, "end")
                let last = try await store.put("/t/1", "")
                try requireEqual(try await firstBatch(of: other)?.revision, last, "the other watcher")
            },
            ConformanceCase(name: "a watcher with a small buffer is cut off sooner, and misses nothing when it goes on") { store in
                let buffer = WatchBuffer(batches: 8, bytes: 1 << 20)
                let small = try await store.watch(prefix: "/s/", after: .zero, buffer: buffer)
                let bytes = try await store.watch(prefix: "/s/", after: .zero, buffer: WatchBuffer(batches: 1000, bytes: 2000))
                let usual = try await store.watch(prefix: "/s/", after: .zero)
                for number in 1...20 { try await store.put("/s/\(number)", String(repeating: "x", count: 200)) }
                try requireEqual(try await storeError("batches") { for try await _ in small {} }, .watcherTooSlow, "batches")
                try requireEqual(try await storeError("bytes") { for try await _ in bytes {} }, .watcherTooSlow, "bytes")
                try requireEqual(try await firstBatch(of: usual)?.revision.rawValue, 1, "the usual buffer")
                // More than the buffer holds has happened since: it comes from history.
                var again = try await store.watch(prefix: "/s/", after: Revision(rawValue: 2), buffer: buffer).makeAsyncIterator()
                for number in 3...20 as ClosedRange<Int64> {
                    try requireEqual(try await again.next()?.revision.rawValue, number, "revision")
                }
            },
        ]
    }
}

private func firstBatch(of stream: AsyncThrowingStream<WatchBatch, any Error>) async throws -> WatchBatch? {
    for try await batch in stream { return batch }
    return nil
}

/// Writers with seeded random transactions; watchers that begin at random revisions
/// while they write. Each watcher must see every revision after its own, and replaying
/// them from the start must give the final state.
private func checkConcurrentWatchers(_ store: any StateStore, seed: UInt64) async throws {
    let writers = 6
    let commitsEach = 120
    let total = Int64(writers * commitsEach)
    try await withThrowingTaskGroup(of: Void.self) { group in
        for writer in 0..<writers {
            group.addTask {
                var random = SeededGenerator(seed: seed &+ UInt64(writer))
                for number in 0..<commitsEach {
                    var mutations: [Mutation] = [
                        .put(key: "/all/w\(writer)", value: Array("\(number)".utf8), if: .none)
                    ]
                    let key = "/all/k\(Int.random(in: 0..<20, using: &random))"
                    mutations.append(
                        Bool.random(using: &random)
                            ? .delete(key: key, if: .none) : .put(key: key, value: [UInt8(writer)], if: .none))
                    try await store.commit(mutations)
                }
            }
        }
        for watcher in 0..<12 {
            group.addTask {
                var random = SeededGenerator(seed: seed &* 31 &+ UInt64(watcher))
                for _ in 0..<Int.random(in: 0..<40, using: &random) { await Task.yield() }
                let newest = try await store.currentRevision().rawValue
                let after = watcher == 0 ? 0 : Int64.random(in: 0...newest, using: &random)
                var expected = after
                var state: [String: StoredValue] = [:]
                if after < total {
                    for try await batch in try await store.watch(prefix: "/all/", after: Revision(rawValue: after)) {
                        expected += 1
                        try requireEqual(batch.revision.rawValue, expected, "watcher \(watcher), seed \(seed)")
                        for event in batch.events {
                            try requireEqual(event.revision, batch.revision, "revision of an event")
                            if case .put(let stored) = event {
                                state[event.key] = stored
                            } else {
                                state[event.key] = nil
                            }
                        }
                        if expected == total { break }
                    }
                }
                guard after == 0 else { return }
                let listed = try await store.all(prefix: "/all/", pageSize: 100)
                try requireEqual(state.values.sorted { $0.key < $1.key }, listed, "replayed state, seed \(seed)")
            }
        }
        try await group.waitForAll()
    }
}
