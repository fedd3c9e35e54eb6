internal import Crypto
internal import NIOSSL
internal import Model
internal import Synchronization
internal import Wire

/// Which certificate a BMC may show: on first use whichever it shows, from then on only that one.
///
/// BMCs have self-signed certificates whose names and dates are often wrong, so the certificate itself is the
/// identity: the SHA-256 of its DER form.
public final class CertificateTrust: Sendable {
    private struct State {
        var pinned: String?
        /// The last one that was refused.
        var refused: String?
    }
    private let state: Mutex<State>

    /// - Parameter fingerprint: as ``fingerprint`` gave it before; nil: trust the first that is shown.
    public init(pinned fingerprint: String?) { state = Mutex(State(pinned: fingerprint)) }

    /// `SHA256:` and lower-case hex; nil until a certificate was seen.
    public var fingerprint: String? { state.withLock { $0.pinned } }

    /// Whether this certificate is the trusted one; the first ever seen becomes it.
    func admits(_ fingerprint: String) -> Bool {
        state.withLock { state in
            guard let pinned = state.pinned else {
                state.pinned = fingerprint
                return true
            }
            if pinned == fingerprint { return true }
            state.refused = fingerprint
            return false
        }
    }

    static func fingerprint(of certificate: NIOSSLCertificate) throws -> String {
        "SHA256:" + Hex.encode(SHA256.hash(data: try certificate.toDERBytes()))
    }
}

/// Thrown into a connection whose certificate is another than the pinned one.
struct CertificateChanged: Error {
    var pinned: String
    var shown: String

    func problem(_ address: String) -> Problem {
        .bmc(
            "certificate-changed", "The BMC at \(address) shows another certificate than before",
            detail: "trusted: \(pinned)\nshown:   \(shown)\nNothing was sent to it.",
            remedy:
                "If its firmware or certificate was renewed, look at the new one on the BMC itself, then: hostler bmc trust BMC --fingerprint \(shown)"
        )
    }
}
