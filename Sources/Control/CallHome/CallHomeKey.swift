internal import Crypto
internal import Wire

/// What an installed system and the control plane make the codes of a call home with, and no one else. It is sent to nobody,
/// so the system may ask at any address whether it is Hostler's.
struct CallHomeKey: Equatable, Sendable {
    /// 64 hexadecimal digits, in lower case.
    let hex: String

    /// A keyed hash that a shell can make with `sha256sum`: H(key ‖ H(key ‖ text)), each hash as its 64 digits. The outer hash is
    /// there because H(key ‖ text) alone can be continued by whoever sees it.
    func code(_ text: some Sequence<UInt8>) -> String { hash(hash(text).utf8) }
    func code(_ text: String) -> String { code(text.utf8) }

    private func hash(_ text: some Sequence<UInt8>) -> String { Hex.encode(SHA256.hash(data: Array(hex.utf8) + text)) }
}
