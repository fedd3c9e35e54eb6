internal import CLinux
internal import Crypto
internal import Model
internal import NetBoot
internal import Synchronization
internal import Wire

/// Looks for the server when it has been silent for long.
struct ServerSeeker: Sendable {
    let client: ControlClient
    let log: AgentLog
    let permit: RestartPermit
    /// Who boots machines on this wire, by URL.
    let ask: @Sendable () async -> [String]
    let restart: @Sendable () async -> Void
    /// For how long the server has not answered.
    let silence: @Sendable () -> Duration
    /// Between two looks; spread, so that a rack does not ask at one moment.
    var pause: @Sendable () async throws -> Void = { try await Task.sleep(for: .milliseconds(Int.random(in: 20_000...40_000))) }

    func run() async {
        var search = ServerSearch(base: client.base)
        while !Task.isCancelled {
            do { try await pause() } catch { return }
            await look(&search)
        }
    }

    func look(_ search: inout ServerSearch) async {
        guard case .ask = search.timePassed(silence: silence()) else { return }
        guard case .challenge(let bases) = search.found(await ask()) else { return }
        var proved: String?
        for base in bases {
            guard await client.isServer(base) else { continue }
            proved = base
            break
        }
        switch search.answered(proved, silence: silence(), mayRestart: permit.isGiven) {
        case .move(let base):
            log("the server has another address now, and has shown that it is the same: \(base)")
            client.move(to: base)
        case .restart(let why):
            log("restarting: \(why)")
            await restart()
        case .rest, .ask, .challenge: break
        }
    }

    /// The server that a boot script's URL is of: `http://` and an IPv4 address, maybe with a port. Nil for all else that a
    /// DHCP server may say.
    static func base(ofScript url: String) -> String? {
        guard url.hasPrefix("http://") else { return nil }
        let rest = url.dropFirst(7)
        let authority = rest.prefix { $0 != "/" }
        guard rest.dropFirst(authority.count).hasPrefix("/boot/script?") else { return nil }
        let parts = authority.split(separator: ":", omittingEmptySubsequences: false)
        guard parts.count <= 2, let address = IPv4Address(String(parts[0])), address != .any, address != .broadcast else { return nil }
        guard parts.count == 2 else { return "http://\(address)" }
        guard parts[1].utf8.count <= 5, parts[1].utf8.allSatisfy({ (48...57).contains($0) }), let port = UInt16(parts[1]), port > 0
        else { return nil }
        return "http://\(address):\(port)"
    }
}

/// Whether the machine may be restarted to find its server: not while a person works in a rescue shell, nor while a disk erases
/// itself.
final class RestartPermit: Sendable {
    private let forbidden = Mutex(0)
    var isGiven: Bool { forbidden.withLock { $0 == 0 } }

    func without<Result>(_ body: () async throws -> Result) async rethrows -> Result {
        forbidden.withLock { $0 += 1 }
        defer { forbidden.withLock { $0 -= 1 } }
        return try await body()
    }
}

extension ControlClient {
    /// Asks a server whether it is the one of this session, without showing the session.
    func isServer(_ base: String) async -> Bool {
        guard let session, let dot = session.firstIndex(of: "."), let machine = MachineID(rawValue: String(session[..<dot])) else { return false }
        var generator = SystemRandomNumberGenerator()
        let question = ServerQuestion(
            machine: machine, challenge: Hex.encode((0..<32).map { _ in UInt8.random(in: 0...255, using: &generator) }))
        guard let proof = try? await ask(base, question) else { return false }
        let key = SymmetricKey(data: Array(session.utf8))
        guard let code = Hex.decode(proof.code) else { return false }
        return HMAC<SHA256>.isValidAuthenticationCode(code, authenticating: Array(question.text.utf8), using: key)
    }
}
