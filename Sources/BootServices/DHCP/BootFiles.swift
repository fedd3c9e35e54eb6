public import Model
public import NetBoot
internal import Wire

/// Says which file a machine's firmware is to load: first iPXE, then iPXE's script.
public struct BootFiles: Sendable {
    let network: BootNetwork
    private let has: @Sendable (_ name: String) -> Bool

    /// - Parameter has: whether a file is there to be fetched.
    public init(network: BootNetwork, has: @escaping @Sendable (_ name: String) -> Bool) {
        self.network = network
        self.has = has
    }

    /// Nil where there is nothing that this firmware could boot.
    ///
    /// - Parameter toLocalDisk: the gate sends the machine to its disk. UEFI then gets the program that starts
    ///   the disk's loader at once; a BIOS needs iPXE for it.
    /// - Parameter system: whose disk that is; nil: not known.
    public func answer(to question: BootQuestion, toLocalDisk: Bool, system: OperationID? = nil) -> BootAnswer? {
        let server = network.address.address
        let kind = question.architecture?.bootFileKind
        if question.isIPXE {
            let platform = kind == nil || kind == .bios ? "bios" : "efi"
            let script = "\(network.baseURL)/boot/script?mac=\(question.mac)&platform=\(platform)"
            return BootAnswer(nextServer: server, bootFile: script)
        }
        // A PXE client that does not say what it is, is an old BIOS (RFC 4578 §2.1 came later).
        let isLoader = toLocalDisk && kind == .efiX8664
        let firmwareFile = isLoader ? DiskLoader.uefiTemplate : kind.flatMap(Self.fileName)
        guard let file = question.architecture == nil ? "undionly.kpxe" : firmwareFile, has(file) else { return nil }
        let name = isLoader ? system.map { DiskLoader.uefi($0).name } ?? file : file
        return BootAnswer(
            nextServer: server, bootFile: question.isHTTPClient ? "\(network.baseURL)/boot/\(name)" : name)
    }

    /// iPXE as Debian 12's `ipxe` package has it, and for arm64 under the name of a build of one's own.
    static func fileName(for kind: BootFileKind) -> String? {
        switch kind {
        case .bios: "undionly.kpxe"
        case .efiX8664: "ipxe.efi"
        case .efiARM64: "ipxe-arm64.efi"
        case .efiIA32: nil
        }
    }
}
