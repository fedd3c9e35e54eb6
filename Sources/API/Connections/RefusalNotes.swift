internal import Logging
internal import Model
internal import Synchronization
internal import Wire

/// Tells of what the API refused: an event the first time, then one an hour with the count, for each kind and address.
/// What is told waits for ``run(_:)``, so that a refusal costs nothing and a flood of them fills neither log nor store.
final class RefusalNotes: Sendable {
    static let pause = Duration.seconds(3600)
    /// Addresses that are told of by name within an hour; the others are told of together.
    static let origins = 64
    private static let others = "others"

    private struct Key: Hashable {
        var kind: String
        var origin: String
    }
    private struct Entry {
        var what: String
        /// Since it was told last.
        var count = 0
        var toldAt: ContinuousClock.Instant?
    }

    private let entries = Mutex<[Key: Entry]>([:])
    private let wakes: AsyncStream<Void>
    private let wake: AsyncStream<Void>.Continuation

    init() { (wakes, wake) = AsyncStream.makeStream(of: Void.self, bufferingPolicy: .bufferingNewest(1)) }

    func note(_ kind: String, _ what: String, origin: String) {
        let isNews = entries.withLock { entries in
            var key = Key(kind: kind, origin: origin)
            if entries[key] == nil, entries.count >= Self.origins { key.origin = Self.others }
            var entry = entries[key] ?? Entry(what: what)
            entry.count += 1
            entries[key] = entry
            return entry.toldAt == nil
        }
        if isNews { wake.yield() }
    }

    /// What is to be told now, and forgotten.
    func due(_ now: ContinuousClock.Instant) -> [(kind: String, message: String, origin: String, count: Int)] {
        entries.withLock { entries in
            var due: [(kind: String, message: String, origin: String, count: Int)] = []
            for (key, entry) in entries {
                let isDue = entry.toldAt.map { now - $0 >= Self.pause } ?? true
                guard isDue else { continue }
                if entry.count > 0 {
                    due.append((key.kind, entry.what, key.origin, entry.count))
                    entries[key] = Entry(what: entry.what, toldAt: now)
                } else {
                    entries[key] = nil
                }
            }
            return due.sorted { ($0.kind, $0.origin) < ($1.kind, $1.origin) }
        }
    }

    /// Tells until cancelled.
    func run(_ control: any MachineControl, _ logger: Logger) async {
        await withTaskGroup(of: Void.self) { group in
            group.addTask {
                while (try? await Task.sleep(for: .seconds(60))) != nil { self.wake.yield() }
            }
            for await _ in wakes {
                for refusal in due(.now) {
                    logger.warning("\(refusal.message)", metadata: ["address": "\(refusal.origin)", "count": "\(refusal.count)"])
                    try? await control.recordEvent(
                        kind: refusal.kind, machine: nil, operation: nil, actor: "api", message: "\(refusal.message): \(refusal.origin)",
                        evidence: ["address": refusal.origin, "count": "\(refusal.count)"])
                }
            }
            group.cancelAll()
        }
    }
}
