/// The kind of firmware that asks (RFC 4578 §2.1 and IANA's "Processor
/// Architecture Types").
public struct ClientArchitecture: RawRepresentable, Hashable, Sendable, Codable, CustomStringConvertible {
    public let rawValue: UInt16
    public init(rawValue: UInt16) { self.rawValue = rawValue }

    public static let bios = Self(rawValue: 0)
    public static let efiIA32 = Self(rawValue: 6)
    /// What x86-64 UEFI firmware sends; RFC 4578's table calls it EFI byte code.
    public static let efiX8664 = Self(rawValue: 7)
    /// The other number for x86-64: the two are swapped between the RFC and its practice.
    public static let efiX8664Alternate = Self(rawValue: 9)
    public static let efiARM64 = Self(rawValue: 11)
    /// IANA's "x86 UEFI boot from HTTP"; firmware of mixed width sends it too.
    public static let efiX86HTTP = Self(rawValue: 15)
    public static let efiX8664HTTP = Self(rawValue: 16)
    public static let efiARM64HTTP = Self(rawValue: 19)

    /// True where the firmware loads by HTTP from a URL.
    public var isHTTP: Bool { (15...19).contains(rawValue) || rawValue == 20 }

    /// Which boot program runs on it; nil where none is known.
    public var bootFileKind: BootFileKind? {
        switch self {
        case .bios: .bios
        case .efiIA32: .efiIA32
        case .efiX8664, .efiX8664Alternate, .efiX86HTTP, .efiX8664HTTP: .efiX8664
        case .efiARM64, .efiARM64HTTP: .efiARM64
        default: nil
        }
    }

    public var description: String {
        switch self {
        case .bios: "bios"
        case .efiIA32: "efi-ia32"
        case .efiX8664, .efiX8664Alternate: "efi-x86-64"
        case .efiARM64: "efi-arm64"
        case .efiX86HTTP, .efiX8664HTTP: "efi-x86-64-http"
        case .efiARM64HTTP: "efi-arm64-http"
        default: "unknown-\(rawValue)"
        }
    }
}

/// A boot program's format and processor.
public enum BootFileKind: String, Hashable, Sendable, Codable, CaseIterable {
    /// A network bootstrap program for the PXE of a BIOS, such as `undionly.kpxe`.
    case bios
    case efiIA32
    case efiX8664
    case efiARM64
}
