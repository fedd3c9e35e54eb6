public import Store

/// One thing that every ``StateStore`` must do, checked on a new, empty store.
public struct ConformanceCase: Sendable, CustomStringConvertible {
    /// A sentence.
    public let name: String
    /// Throws ``ConformanceFailure`` where the store falls short.
    public let run: @Sendable (any StateStore) async throws -> Void

    public var description: String { name }

    /// The whole suite.
    public static var all: [ConformanceCase] { keyCases + transactionCases + watchCases + secretCases }
}

/// What a store did wrong, and where the suite found it.
public struct ConformanceFailure: Error, CustomStringConvertible {
    public let description: String
}

func require(
    _ condition: Bool, _ what: @autoclosure () -> String, file: String = #fileID, line: Int = #line
) throws {
    guard condition else { throw ConformanceFailure(description: "\(what()) (\(file):\(line))") }
}

func requireEqual<Value: Equatable>(
    _ found: Value, _ expected: Value, _ what: String, file: String = #fileID, line: Int = #line
) throws {
    guard found == expected else {
        throw ConformanceFailure(description: "\(what): found \(found), expected \(expected) (\(file):\(line))")
    }
}

/// The error that `body` throws; fails when it throws none.
func storeError(
    _ what: String, file: String = #fileID, line: Int = #line, _ body: () async throws -> Void
) async throws -> StoreError {
    do {
        try await body()
    } catch let error as StoreError {
        return error
    }
    throw ConformanceFailure(description: "\(what): no error was thrown (\(file):\(line))")
}

/// SplitMix64: the same numbers from the same seed.
struct SeededGenerator: RandomNumberGenerator {
    private var state: UInt64

    init(seed: UInt64) { state = seed }

    mutating func next() -> UInt64 {
        state &+= 0x9e37_79b9_7f4a_7c15
        var mixed = state
        mixed = (mixed ^ mixed >> 30) &* 0xbf58_476d_1ce4_e5b9
        mixed = (mixed ^ mixed >> 27) &* 0x94d0_49bb_1331_11eb
        return mixed ^ mixed >> 31
    }
}

extension StateStore {
    @discardableResult
    func put(_ key: String, _ value: String, if precondition: Precondition = .none) async throws -> Revision {
        try await commit([.put(key: key, value: Array(value.utf8), if: precondition)])
    }

    /// All pages of a prefix.
    func all(prefix: String, pageSize: Int) async throws -> [StoredValue] {
        var values: [StoredValue] = []
        var after: String?
        repeat {
            let page = try await list(prefix: prefix, after: after, limit: pageSize)
            values += page.values
            after = page.nextKey
        } while after != nil
        return values
    }
}
