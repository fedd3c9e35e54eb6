public import Model

/// A machine's ID as a request says it by its key or, behind a router, by its token: nothing, until that is checked.
public struct MachineClaim: Sendable, Equatable {
    enum Proof: Sendable, Equatable {
        case key(String)
        case token(String)
    }

    public let machine: MachineID
    let proof: Proof

    /// A key counts before a token. Nil: neither names a machine.
    init?(key: String?, token: String?) {
        guard let proof = key.map(Proof.key) ?? token.map(Proof.token), let text = key ?? token, let dot = text.firstIndex(of: "."),
            let machine = MachineID(rawValue: String(text[..<dot]))
        else { return nil }
        self.machine = machine
        self.proof = proof
    }
}
