public import Model

/// What is known of the backups that the server takes by itself.
public struct BackupVitals: Sendable, Equatable {
    public var lastAt: Timestamp?
    public var isFailing: Bool
    public var isOverdue: Bool

    public init(lastAt: Timestamp?, isFailing: Bool, isOverdue: Bool) {
        self.lastAt = lastAt
        self.isFailing = isFailing
        self.isOverdue = isOverdue
    }
}

extension ServerMetrics {
    mutating func add(backups: BackupVitals) {
        exposition.add(
            "hostler_backup_last_timestamp_seconds", .gauge, "When the newest scheduled backup was taken, in seconds since 1970.",
            backups.lastAt.map { [.init(Double($0.milliseconds) / 1000)] } ?? [])
        exposition.add(
            "hostler_backup_failing", .gauge, "1 where the newest attempt at a scheduled backup failed.", [.init(backups.isFailing ? 1 : 0)])
        exposition.add(
            "hostler_backup_overdue", .gauge, "1 where the newest scheduled backup is too old.", [.init(backups.isOverdue ? 1 : 0)])
    }
}
