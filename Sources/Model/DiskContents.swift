internal import Wire

/// What an agent found on a disk by reading it: it mounts, assembles and changes nothing.
///
/// It is what the machine says of itself. A machine that calls its disk empty endangers its own data, and no other's.
public struct DiskContents: Codable, Sendable, Equatable {
    /// One thing that is there: a partition table, a file system, a member of an array.
    public struct Item: Codable, Sendable, Equatable {
        /// For people, as `ext4` or `LVM physical volume`.
        public var kind: String
        public var label: String?
        /// The partition's number, from 1; nil: on the disk itself.
        public var partition: Int?

        public init(kind: String, label: String? = nil, partition: Int? = nil) {
            self.kind = kind
            self.label = label
            self.partition = partition
        }

        public init(from decoder: any Decoder) throws {
            let container = try decoder.container(keyedBy: CodingKeys.self)
            kind = try container.word(.kind, limitBytes: 64)
            label = try container.wordIfPresent(.label, limitBytes: DiskContents.labelBytes)
            partition = try container.numberIfPresent(.partition, in: 0...1024)
        }
    }

    /// A partition table, what is on the disk beside it, and what is on its first partitions.
    public static let itemLimit = 32
    /// GPT names have 108 bytes, labels of file systems mostly 16.
    public static let labelBytes = 108
    /// Bytes that are not zero, in no form that is known.
    public static let unknownData = "data of an unknown kind"
    /// It could not be read: a locked or failing disk may hold anything.
    public static let unreadable = "unreadable"

    public var items: [Item]
    /// How many partitions its table has.
    public var partitions: Int

    public init(items: [Item] = [], partitions: Int = 0) {
        self.items = items
        self.partitions = partitions
    }

    public init(from decoder: any Decoder) throws {
        let container = try decoder.container(keyedBy: CodingKeys.self)
        items = try container.list(Item.self, .items, limit: Self.itemLimit)
        partitions = try container.number(.partitions, in: 0...1024)
    }

    /// Nothing but zeros wherever it was looked.
    public var isEmpty: Bool { items.isEmpty && partitions == 0 }
    /// Whether something has a form that somebody gave it.
    public var hasKnownForm: Bool { partitions > 0 || items.contains { $0.kind != Self.unknownData && $0.kind != Self.unreadable } }

    /// For people, as `GPT, 3 partitions; 1: FAT32 “EFI”; 2: ext4 “root”`.
    public var summary: String {
        if isEmpty { return "empty" }
        var parts = items.map { item in
            (item.partition.map { "\($0): " } ?? "") + item.kind + (item.label.map { " “\($0)”" } ?? "")
        }
        if partitions > 0 {
            let count = partitions == 1 ? "1 partition" : "\(partitions) partitions"
            if parts.isEmpty { parts = [count] } else { parts[0] += ", \(count)" }
        }
        return parts.joined(separator: "; ")
    }

    /// Without what is on its partitions: for an inventory that is too long.
    var shortened: DiskContents { DiskContents(items: items.filter { $0.partition == nil }, partitions: partitions) }
}
