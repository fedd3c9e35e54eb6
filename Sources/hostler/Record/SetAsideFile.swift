import API
import FoundationEssentials
import Model
import Store

/// The file in which records are kept that were taken out of the state, a line of JSON each. Secrets are in it as they lay in
/// the record, sealed.
struct SetAsideFile {
    struct Line: Codable, Equatable {
        var key: String
        var revision: Int64
        var why: String
        /// In base64.
        var value: String
    }

    static func path(in stateDirectory: String, at time: Timestamp) -> String { "\(stateDirectory)/set-aside-\(time.milliseconds).jsonl" }

    static func write(_ lines: [Line], to path: String) throws {
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
        var bytes: [UInt8] = []
        for line in lines { bytes += try encoder.encode(line) + [0x0a] }
        try KeyFile(path).make(bytes)
    }
}
