internal import Crypto
public import Model
internal import Wire

extension ControlPlane {
    /// Shows an agent that this is the server that it has its session from, so that it can follow the server to another address.
    /// Nothing leads from the answer to the session.
    ///
    /// The caller has checked that the question comes from where the session is bound to.
    public func prove(_ question: ServerQuestion) throws(Problem) -> ServerProof {
        guard question.challenge.utf8.count == ServerQuestion.challengeDigits, Hex.decode(question.challenge) != nil,
            let boot = snapshot.machines[question.machine]?.observed.agent?.boot
        else { throw Self.sessionInvalid }
        let key = SymmetricKey(data: Array(nonces.session(machine: question.machine, boot: boot).utf8))
        return ServerProof(code: Hex.encode(HMAC<SHA256>.authenticationCode(for: Array(question.text.utf8), using: key)))
    }
}
