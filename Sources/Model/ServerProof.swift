/// An agent asks whether a server that it found is the one that it has its session from.
public struct ServerQuestion: Codable, Sendable, Equatable {
    public var machine: MachineID
    /// 64 hexadecimal digits, other ones each time.
    public var challenge: String

    public init(machine: MachineID, challenge: String) {
        self.machine = machine
        self.challenge = challenge
    }

    public static let challengeDigits = 64
    /// What the code of the answer is made of: HMAC-SHA256 with the session as its key.
    public var text: String { "server|\(machine)|\(challenge)" }
}

public struct ServerProof: Codable, Sendable, Equatable {
    /// 64 hexadecimal digits, in lower case.
    public var code: String
    public init(code: String) { self.code = code }
}
