import Store

extension ConformanceCase {
    static var transactionCases: [ConformanceCase] {
        [
            ConformanceCase(name: "each commit makes the next revision, also a put of equal bytes") { store in
                for number in 1...5 as ClosedRange<Int64> {
                    try requireEqual(try await store.put("/a", "same").rawValue, number, "revision")
                    let stored = try await store.get("/a")
                    try requireEqual(stored?.createdRevision.rawValue, 1, "created")
                    try requireEqual(stored?.modifiedRevision.rawValue, number, "modified")
                }
                try requireEqual(try await store.currentRevision().rawValue, 5, "current")
            },
            ConformanceCase(name: "a commit that changes nothing makes no revision") { store in
                try await store.put("/a", "1")
                let commits: [[Mutation]] = [[], [.check(key: "/a", .exists)], [.delete(key: "/none", if: .none)]]
                for mutations in commits {
                    try requireEqual(try await store.commit(mutations).rawValue, 1, "revision")
                }
                try requireEqual(try await store.currentRevision().rawValue, 1, "current")
            },
            ConformanceCase(name: "each precondition holds when it should and no other time") { store in
                let there = try await store.put("/a", "1")
                let other = Revision(rawValue: there.rawValue + 7)
                let cases: [(Precondition, key: String, holds: Bool)] = [
                    (.none, "/a", true), (.none, "/n", true), (.absent, "/a", false), (.absent, "/n", true),
                    (.exists, "/a", true), (.exists, "/n", false), (.revision(there), "/a", true),
                    (.revision(other), "/a", false), (.revision(there), "/n", false), (.revision(.zero), "/n", false),
                ]
                for (precondition, key, holds) in cases {
                    let check = Mutation.check(key: key, precondition)
                    if holds {
                        try await store.commit([check])
                    } else {
                        let error = try await storeError("\(precondition) of \(key)") {
                            try await store.commit([check])
                        }
                        try requireEqual(error, .conflict(key: key, current: key == "/a" ? there : nil), "conflict")
                    }
                }
                _ = try await storeError("delete") {
                    try await store.commit([.delete(key: "/a", if: .revision(other))])
                }
                try await store.commit([.delete(key: "/a", if: .revision(there))])
                try await store.put("/a", "2", if: .absent)
                _ = try await storeError("put") { try await store.put("/a", "3", if: .absent) }
                try requireEqual(try await store.get("/a")?.value, Array("2".utf8), "value")
            },
            ConformanceCase(name: "a transaction is applied as a whole or not at all") { store in
                try await store.commit([
                    .put(key: "/a", value: [1], if: .absent), .put(key: "/b", value: [2], if: .absent),
                ])
                let error = try await storeError("conflict") {
                    try await store.commit([
                        .put(key: "/a", value: [9], if: .none), .delete(key: "/b", if: .none),
                        .put(key: "/c", value: [9], if: .none), .check(key: "/d", .exists),
                    ])
                }
                try requireEqual(error, .conflict(key: "/d", current: nil), "conflict")
                try requireEqual(try await store.all(prefix: "/", pageSize: 9).map(\.value), [[1], [2]], "values")
                try requireEqual(try await store.currentRevision().rawValue, 1, "revision")
                try await store.commit([
                    .put(key: "/a", value: [3], if: .exists), .delete(key: "/b", if: .exists),
                    .check(key: "/b", .exists),
                ])
                let left = try await store.all(prefix: "/", pageSize: 9)
                try requireEqual(left.map(\.value), [[3]], "values after")
                try requireEqual(left.first?.modifiedRevision.rawValue, 2, "one revision for all")
            },
            ConformanceCase(name: "a transaction that changes a key twice is refused") { store in
                let error = try await storeError("twice") {
                    try await store.commit([.put(key: "/a", value: [1], if: .none), .delete(key: "/a", if: .none)])
                }
                guard case .invalidTransaction = error else { throw error }
                try requireEqual(try await store.currentRevision(), .zero, "revision")
            },
            ConformanceCase(name: "a key that was deleted and made again has a new creation") { store in
                try await store.put("/a", "1")
                try await store.put("/a", "2")
                try await store.commit([.delete(key: "/a", if: .none)])
                try require(try await store.get("/a") == nil, "the key is gone")
                try await store.put("/a", "3", if: .absent)
                let stored = try await store.get("/a")
                try requireEqual(stored?.createdRevision.rawValue, 4, "created")
                try requireEqual(stored?.modifiedRevision.rawValue, 4, "modified")
            },
            ConformanceCase(name: "of concurrent compare-and-swaps of one key exactly one wins each time") { store in
                try await store.put("/n", "0")
                let wins = try await withThrowingTaskGroup(of: Int.self) { group in
                    for _ in 0..<8 {
                        group.addTask {
                            var wins = 0
                            while wins < 25 {
                                guard let old = try await store.get("/n"),
                                    let number = Int(String(decoding: old.value, as: UTF8.self))
                                else { throw ConformanceFailure(description: "the counter is gone") }
                                do {
                                    try await store.put("/n", "\(number + 1)", if: .revision(old.modifiedRevision))
                                    wins += 1
                                } catch StoreError.conflict {
                                    continue
                                }
                            }
                            return wins
                        }
                    }
                    return try await group.reduce(0, +)
                }
                try requireEqual(try await store.get("/n")?.value, Array("\(wins)".utf8), "counter")
            },
            ConformanceCase(name: "what a commit acknowledged is seen by the next read") { store in
                try await withThrowingTaskGroup(of: Void.self) { group in
                    for writer in 0..<8 {
                        group.addTask {
                            for number in 0..<20 {
                                let revision = try await store.put("/w/\(writer)", "\(number)")
                                let stored = try await store.get("/w/\(writer)")
                                try requireEqual(stored?.modifiedRevision, revision, "own write")
                                let listing = try await store.list(prefix: "/w/", after: nil, limit: 100)
                                try require(listing.revision >= revision, "a listing older than the write")
                            }
                        }
                    }
                    try await group.waitForAll()
                }
                try requireEqual(try await store.currentRevision().rawValue, 160, "revision")
            },
        ]
    }
}
