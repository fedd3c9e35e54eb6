internal import CLinux
internal import HostFacts

/// The ways to empty a disk, the best first.
enum WipeMethod: String {
    case nvmeFormat = "NVMe Format NVM"
    case ataSecureErase = "ATA SECURITY ERASE UNIT"
    case secureDiscard = "secure discard"
    case discard = "discard with zeros promised"
    case overwrite = "overwrite with zeros"

    static func inOrder(for disk: DiskFacts) -> [WipeMethod] {
        var methods: [WipeMethod] = []
        if disk.transport == .nvme { methods.append(.nvmeFormat) }
        if disk.transport == .sata { methods.append(.ataSecureErase) }
        return methods + [.secureDiscard, .discard, .overwrite]
    }

    private static let pieceBytes: UInt64 = 1 << 30
    private static let writeBytes: UInt64 = 4 << 20

    /// Empties all of the disk. Throws where this way is not open to it.
    func wipe(_ device: BlockDevice, _ disk: DiskFacts, _ counter: ProgressCounter) async throws {
        switch self {
        case .nvmeFormat: try await WorkPool.run { try NVMeFormat.erase(device) }
        case .ataSecureErase: try await WorkPool.run { try ATASecureErase.erase(device) }
        case .secureDiscard:
            try await Self.pieces(of: device, Self.pieceBytes, counter) {
                try device.discard(at: $0.lowerBound, count: UInt64($0.count), secure: true)
            }
        case .discard:
            try await Self.pieces(of: device, Self.pieceBytes, counter) {
                try device.punch(at: $0.lowerBound, count: UInt64($0.count))
            }
        case .overwrite:
            let zeros = try AlignedBuffer(count: Int(Self.writeBytes))
            zeros.bytes.initializeMemory(as: UInt8.self, repeating: 0)
            try await Self.pieces(of: device, Self.writeBytes, counter) { range in
                try device.write(UnsafeRawBufferPointer(rebasing: zeros.bytes[..<range.count]), at: range.lowerBound)
            }
        }
        try await WorkPool.run { try device.flush() }
    }

    private static func pieces(
        of device: BlockDevice, _ pieceBytes: UInt64, _ counter: ProgressCounter,
        _ body: @Sendable @escaping (Range<UInt64>) throws -> Void
    ) async throws {
        for start in stride(from: 0, to: device.byteCount, by: Int(pieceBytes)) {
            try Task.checkCancellation()
            let range = start..<min(device.byteCount, start + pieceBytes)
            try await WorkPool.run { try body(range) }
            counter.add(Int64(range.count))
        }
    }
}

/// Why a disk does not take a command.
struct NotSupported: Error, CustomStringConvertible {
    let description: String
    init(_ description: String) { self.description = description }
}

/// NVMe's own erasure of a namespace (NVM Express Base 2.0 §5.14 Format NVM).
enum NVMeFormat {
    private static let identify: UInt8 = 0x06
    private static let format: UInt8 = 0x80
    private static let timeoutMilliseconds: UInt32 = 3_600_000

    static func erase(_ device: BlockDevice) throws {
        try device.withDescriptor { fd in
            let namespace = UInt32(try SystemError.check(agent_nvme_namespace(fd), "namespace of \(device.name)"))
            let controller = try identify(fd, namespace: 0, structure: 1)
            // OACS bit 1: Format NVM. FNA bits 0, 1: it acts on every namespace.
            guard controller[256] & 2 != 0 else {
                throw NotSupported("the controller has no Format NVM")
            }
            let attributes = controller[524]
            let namespaces = SystemFile.names(in: "/sys/block").filter {
                SystemFile.linkName("/sys/block/\($0)/device") == SystemFile.linkName("/sys/block/\(device.name)/device")
            }
            if attributes & 3 != 0, namespaces.count > 1 {
                throw NotSupported("Format NVM would erase \(namespaces.joined(separator: ", ")) together")
            }
            // Namespaces that this controller does not show may be another host's. CNS 10h lists all that are allocated; it
            // comes with Namespace Management (OACS bit 3), without which there are none but those that are shown.
            if attributes & 3 != 0, controller[256] & 8 != 0, allocated(try identify(fd, namespace: 0, structure: 0x10)) > 1 {
                throw NotSupported("Format NVM would erase namespaces that are not shown here")
            }
            let space = try identify(fd, namespace: namespace, structure: 0)
            // The present format is kept: FLBAS, metadata setting, protection.
            let flbas = UInt32(space[26])
            let kept = flbas & 0xf | (flbas >> 4 & 1) << 4 | UInt32(space[29] & 7) << 5 | UInt32(space[29] >> 3 & 1) << 8
            // User data erase; where that is refused, the key that encrypted all data is dropped.
            let settings: [UInt32] = attributes & 4 != 0 ? [1, 2] : [1]
            var status: Int32 = 0
            for setting in settings {
                var command = agent_nvme_command(
                    opcode: format, nsid: namespace, cdw10: kept | setting << 9, timeout_milliseconds: timeoutMilliseconds)
                status = try SystemError.check(agent_nvme_admin(fd, &command, nil, 0), "Format NVM of \(device.name)")
                if status == 0 { return }
            }
            throw NotSupported("Format NVM was refused with NVMe status \(status)")
        }
    }

    /// Whether no second controller can be attached to the namespace, and so no other host: NMIC bit 0 (NVM Express Base 2.0,
    /// Identify Namespace, byte 30).
    static func isPrivate(_ device: BlockDevice) throws -> Bool {
        try device.withDescriptor { fd in
            let namespace = UInt32(try SystemError.check(agent_nvme_namespace(fd), "namespace of \(device.name)"))
            return try identify(fd, namespace: namespace, structure: 0)[30] & 1 == 0
        }
    }

    /// How many a list of namespaces names: 1024 numbers, 0 behind the last (NVM Express Base 2.0 §5.17.2.2).
    static func allocated(_ list: [UInt8]) -> Int {
        stride(from: 0, to: list.count - 3, by: 4).prefix { list[$0..<$0 + 4].contains { $0 != 0 } }.count
    }

    private static func identify(_ fd: Int32, namespace: UInt32, structure: UInt32) throws -> [UInt8] {
        var data = [UInt8](repeating: 0, count: 4096)
        var command = agent_nvme_command(opcode: identify, nsid: namespace, cdw10: structure, timeout_milliseconds: 10_000)
        let status = try SystemError.check(agent_nvme_admin(fd, &command, &data, 4096), "identify")
        guard status == 0 else { throw NotSupported("Identify was refused with NVMe status \(status)") }
        return data
    }
}

/// The erasure that ATA disks do by themselves (ACS-4 §7.38 and on).
enum ATASecureErase {
    private static let identifyDevice: UInt8 = 0xec
    private static let setPassword: UInt8 = 0xf1
    private static let erasePrepare: UInt8 = 0xf3
    private static let eraseUnit: UInt8 = 0xf4
    private static let unlock: UInt8 = 0xf2
    private static let disablePassword: UInt8 = 0xf6
    private static let password = Array("hostler".utf8)

    /// What word 128 of IDENTIFY DEVICE says of the security feature set.
    struct Security: Equatable {
        let isSupported, isEnabled, isLocked, isFrozen: Bool
        /// What the disk expects an erasure to take, in minutes.
        let eraseMinutes: Int

        init(identify: [UInt8]) {
            func word(_ number: Int) -> UInt16 { UInt16(identify[2 * number]) | UInt16(identify[2 * number + 1]) << 8 }
            let status = word(128)
            (isSupported, isEnabled) = (status & 1 != 0, status & 2 != 0)
            (isLocked, isFrozen) = (status & 4 != 0, status & 8 != 0)
            // Bit 15: the longer form, 15 bits of two minutes; else 8 bits.
            let time = word(89)
            eraseMinutes = 2 * Int(time & 0x8000 != 0 ? time & 0x7fff : time & 0xff)
        }
    }

    static func erase(_ device: BlockDevice) throws {
        try device.withDescriptor { fd in
            let security = try security(fd)
            guard security.isSupported else { throw NotSupported("the disk has no security feature set") }
            guard !security.isFrozen else { throw NotSupported("the firmware froze the disk's security feature set") }
            if security.isEnabled || security.isLocked {
                // An erasure of ours that lost its power left our password behind; another's is refused below.
                try takeUp(fd, security)
            } else {
                try command(fd, setPassword, block(), timeoutMilliseconds: 10_000)
            }
            do {
                try command(fd, erasePrepare, nil, timeoutMilliseconds: 10_000)
                let minutes = max(30, security.eraseMinutes * 2)
                try command(fd, eraseUnit, block(), timeoutMilliseconds: UInt32(clamping: minutes * 60_000))
            } catch {
                // A disk must never be left behind a password that nobody knows of.
                try? command(fd, disablePassword, block(), timeoutMilliseconds: 10_000)
                throw error
            }
            guard !(try Self.security(fd).isEnabled) else {
                try command(fd, disablePassword, block(), timeoutMilliseconds: 10_000)
                throw NotSupported("the disk kept its password, so it did not erase itself")
            }
        }
    }

    private static func takeUp(_ fd: Int32, _ security: Security) throws {
        guard security.isLocked else { return }
        do {
            try command(fd, unlock, block(), timeoutMilliseconds: 10_000)
        } catch {
            throw NotSupported("somebody set a password on the disk")
        }
    }

    private static func security(_ fd: Int32) throws -> Security {
        var data = [UInt8](repeating: 0, count: 512)
        let status = try SystemError.check(
            agent_ata_command(fd, identifyDevice, 1, false, &data, 512, 10_000), "IDENTIFY DEVICE")
        guard status == 0 else { throw NotSupported("IDENTIFY DEVICE failed (SCSI status \(status))") }
        return Security(identify: data)
    }

    /// Word 0: user password, normal erase. From word 1: the password, 32 bytes.
    private static func block() -> [UInt8] {
        [0, 0] + password + [UInt8](repeating: 0, count: 510 - password.count)
    }

    private static func command(_ fd: Int32, _ code: UInt8, _ data: [UInt8]?, timeoutMilliseconds: UInt32) throws {
        var data = data ?? []
        let status = try SystemError.check(
            agent_ata_command(fd, code, data.isEmpty ? 0 : 1, true, &data, UInt32(data.count), timeoutMilliseconds),
            "ATA command \(code)")
        guard status == 0 else { throw NotSupported("ATA command \(code) failed (SCSI status \(status))") }
    }
}
