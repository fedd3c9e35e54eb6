public import Model

/// How long a step may be silent, and how often it may be tried.
public struct StepPolicy: Equatable, Sendable {
    /// Without any sign of life for so long, the attempt counts as failed.
    public var silence: Duration
    /// A step that fails in a way that may pass is tried so often in all.
    public var attempts: Int

    public static func of(_ step: StepName) -> StepPolicy {
        switch step {
        // Big servers take 10 minutes of firmware before they speak.
        case .agent: StepPolicy(silence: .seconds(1800), attempts: 2)
        case .inventory, .chooseDisk, .writeSeed, .bootOrder: StepPolicy(silence: .seconds(300), attempts: 3)
        // The agent reports twice a second while it writes; a cut network may last minutes.
        case .writeImage: StepPolicy(silence: .seconds(900), attempts: 5)
        case .restart: StepPolicy(silence: .seconds(300), attempts: 3)
        case .firstBoot: StepPolicy(silence: .seconds(1800), attempts: 1)
        case .wipeDisks, .verifyWipe: StepPolicy(silence: .seconds(900), attempts: 3)
        // Open until the person ends it.
        case .shell: StepPolicy(silence: .seconds(86_400), attempts: 1)
        }
    }

    /// How long to wait before attempt `attempt` (2, 3, …): 2 s, 4 s, 8 s, … at most a minute.
    public static func backoff(beforeAttempt attempt: Int) -> Duration {
        .seconds(min(60, 1 << min(6, max(1, attempt - 1))))
    }

    /// Problems that another try cannot mend.
    static let finalCodes: Set<String> = [
        "disk-ambiguous", "disk-too-small", "disk-not-found", "no-disk", "chunk-digest-mismatch", "stale-generation",
        "wipe-not-proved", "seed-no-room", "index-digest-mismatch", "seed-digest-mismatch", "image-invalid", "source-gone",
        "disk-changed", "disk-not-own", "disk-unidentified", "wipe-no-disks",
        "seed-no-entry", "image-sector-size", "disk-sector-size", "disk-sector-bios", "image-too-large", "image-unpartitioned", "image-firmware",
        "image-architecture", "attestation-missing", "boot-differs", "quote-refused", "tpm-changed", "tpm-maker-unknown",
    ]
}

extension OperationRequest {
    /// The steps that this work is made of, in order.
    public var stepNames: [StepName] {
        switch self {
        case .inspect: [.agent, .inventory]
        case .install: [.agent, .chooseDisk, .writeImage, .writeSeed, .bootOrder, .restart, .firstBoot]
        case .wipe: [.agent, .wipeDisks, .verifyWipe]
        case .rescue: [.agent, .shell]
        }
    }

    /// The state of a machine while this is under way.
    public var machineState: MachineState {
        switch self {
        case .inspect: .inspecting
        case .install: .installing
        case .wipe: .wiping
        case .rescue: .rescue
        }
    }
}
