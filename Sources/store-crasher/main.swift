// Test support: commits in a loop to the store at the first argument and prints what
// was acknowledged, until it is killed. Each transaction writes the same number under
// two keys, so that a torn one would show.
internal import Glibc
internal import Logging
internal import Store

guard CommandLine.arguments.count == 2 else {
    print("usage: store-crasher PATH")
    exit(64)
}
let writers = 8
let store = try SQLiteStore(
    path: CommandLine.arguments[1], logger: Logger(label: "crasher", factory: { _ in SwiftLogNoOpLogHandler() }))

try await withThrowingTaskGroup(of: Void.self) { group in
    for writer in 0..<writers {
        group.addTask {
            let old = try await store.get("/left/\(writer)")
            var number = old.flatMap { Int(String(decoding: $0.value, as: UTF8.self)) } ?? 0
            while true {
                number += 1
                let value = Array("\(number)".utf8)
                let revision = try await store.commit([
                    .put(key: "/left/\(writer)", value: value, if: .none),
                    .put(key: "/right/\(writer)", value: value, if: .none),
                ])
                // One write a line: a kill cannot tear it, and nothing is buffered.
                let line = Array("\(revision) \(writer) \(number)\n".utf8)
                guard write(1, line, line.count) == line.count else { exit(1) }
            }
        }
    }
    try await group.waitForAll()
}
