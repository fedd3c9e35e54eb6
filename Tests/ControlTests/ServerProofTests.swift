import Crypto
import Model
import Store
import Testing
import Wire

@testable import Control

@Suite("A server's proof to an agent")
struct ServerProofTests {
    @Test("is made with the session of the machine's present boot, and of no other")
    func proof() async throws {
        let control = try await open(MemoryStore())
        try await running(control) { control in
            let reply = try await boot(control)
            let question = ServerQuestion(machine: reply.machine, challenge: String(repeating: "0a", count: 32))
            func code(_ session: String) -> String {
                Hex.encode(HMAC<SHA256>.authenticationCode(for: Array(question.text.utf8), using: SymmetricKey(data: Array(session.utf8))))
            }
            #expect(try control.prove(question).code == code(reply.session))
            let second = try await boot(control, key: String(repeating: "b", count: 64))
            #expect(try control.prove(question).code == code(second.session))
            #expect(second.session != reply.session)
            let unknown = ServerQuestion(machine: MachineID(unchecked: "m-test99"), challenge: question.challenge)
            #expect(throws: Problem.self) { try control.prove(unknown) }
        }
    }

    @Test("is the same from another process with the same store, and another's after a restore")
    func moved() async throws {
        let store = MemoryStore()
        var reply: HelloReply?
        var first: ServerProof?
        try await running(try await open(store)) { control in
            reply = try await boot(control)
            first = try control.prove(ServerQuestion(machine: try #require(reply).machine, challenge: String(repeating: "0a", count: 32)))
        }
        let question = ServerQuestion(machine: try #require(reply).machine, challenge: String(repeating: "0a", count: 32))
        #expect(try await open(store).prove(question) == first)
        #expect(try await open(store, epoch: 1).prove(question) != first)
    }
}
