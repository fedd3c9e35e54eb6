import ArgumentParser
import Model
import Testing
import Wire

@testable import hostler

@Suite("Asking before something is lost") struct ConsentTests {
    private func consequence(losses: Int, warnings: Int = 0, waits: Bool = false) -> Consequence {
        Consequence(
            act: .install, target: "m-0000", name: "web-1", losses: (0..<losses).map { .init(.system, id: "op-000\($0)", "debian-12 as web-1") },
            warnings: (0..<warnings).map { _ in Problem("no-way-in", title: "Nobody will be able to log in", remedy: "Give a key.") },
            waits: waits ? Problem("brake", title: "60 installations were begun") : nil, confirmation: losses > 0 ? "0123456789abcdef" : nil)
    }

    @Test("a loss is asked about on a terminal, refused in a pipe, and with --yes told")
    func losses() {
        let lost = consequence(losses: 1)
        #expect(Consent.decide(lost, isAsked: false, yes: false, isInteractive: true) == .ask)
        #expect(Consent.decide(lost, isAsked: false, yes: false, isInteractive: false) == .refuse)
        #expect(Consent.decide(lost, isAsked: false, yes: true, isInteractive: false) == .tell)
        #expect(Consent.decide(lost, isAsked: false, yes: true, isInteractive: true) == .tell)
    }

    @Test("a warning alone is asked about on a terminal, and stops no script") func warnings() {
        let warned = consequence(losses: 0, warnings: 1)
        #expect(Consent.decide(warned, isAsked: false, yes: false, isInteractive: true) == .ask)
        #expect(Consent.decide(warned, isAsked: false, yes: false, isInteractive: false) == .tell)
        #expect(Consent.decide(consequence(losses: 0, waits: true), isAsked: false, yes: false, isInteractive: false) == .tell)
    }

    @Test("where nothing is lost nothing is asked, unless it always is") func nothing() {
        let plain = consequence(losses: 0)
        for isInteractive in [true, false] {
            #expect(Consent.decide(plain, isAsked: false, yes: false, isInteractive: isInteractive) == .goOn)
            #expect(Consent.decide(plain, isAsked: true, yes: true, isInteractive: isInteractive) == .goOn)
        }
        #expect(Consent.decide(plain, isAsked: true, yes: false, isInteractive: true) == .ask)
        #expect(Consent.decide(plain, isAsked: true, yes: false, isInteractive: false) == .refuse)
    }

    @Test("what is shown names each loss, each warning, and that it would wait") func text() {
        let text = Consent.text(consequence(losses: 2, warnings: 1, waits: true))
        #expect(text.hasPrefix("What is lost by installing web-1 (m-0000):\n"))
        #expect(text.split(separator: "\n").count { $0.contains("debian-12 as web-1") } == 2)
        #expect(text.contains("Warning: Nobody will be able to log in\n  Give a key."))
        #expect(text.contains("It will wait for an admin's second word: 60 installations were begun."))
    }

    @Test("each refusal has an exit code of its own") func exitCodes() {
        #expect(ExitStatus(Consent.refused("x")) == .notConfirmed)
        #expect(ExitStatus(Problem("confirmation-stale", status: 412, title: "x")) == .notConfirmed)
        #expect(ExitStatus(Problem("confirmation-needed", status: 428, title: "x")) == .notConfirmed)
        #expect(ExitStatus(Freeze(reason: "x", by: "y", since: Timestamp(milliseconds: 0)).refusal) == .stopped)
        #expect(ExitStatus(Problem("brake", status: 429, title: "x")) == .stopped)
        #expect(ExitStatus(Problem("machine-busy", status: 409, title: "x")) == .conflict)
    }

    /// Each verb that loses something, as it is typed.
    @Test(
        "every destructive verb takes --yes and --dry-run",
        arguments: [
            "machine install m --image i", "machine wipe m", "machine rescue m --ssh-key k", "machine delete m", "machine release m h",
            "machine power off m", "machine power cycle m", "machine firmware m --from http://x", "machine take-interface m 52:54:00:00:00:01",
            "machine take m", "machine sel m --clear", "machine attestation forget m", "image remove i", "token revoke t-0000", "bmc remove b",
            "identity replace-keys",
            "operation approve op-0000", "restore f",
        ])
    func everyVerb(_ line: String) throws {
        for flag in ["--yes", "--dry-run"] {
            _ = try Hostler.parseAsRoot(line.split(separator: " ").map(String.init) + [flag])
        }
    }

    @Test("the banner of a freeze has the reason as it was said") func banner() {
        #expect(FreezeBanner.text("row%202%20is%20hot%20%F0%9F%94%A5").contains("row 2 is hot 🔥"))
        #expect(FreezeBanner.text("%zz").contains("%zz"))
    }
}

@Suite("Where machine ssh logs in") struct SSHTargetTests {
    private func machine(_ state: MachineState) throws -> Machine {
        var machine = Machine(
            id: MachineID(unchecked: "m-0000"), name: try DisplayName("web-1"), interfaces: [], now: Timestamp(milliseconds: 0))
        machine.state = state
        machine.observed.address = IPv4Address("10.0.0.7")
        return machine
    }

    private func installed(_ state: MachineState = .running) throws -> Machine {
        var machine = try machine(state)
        machine.installed = Installation(
            operation: OperationID(unchecked: "op-0000"), generation: 1, image: "debian-12", digest: "", hostname: "web-1", diskSerial: nil,
            installedAt: Timestamp(milliseconds: 0), hostKeys: ["ssh-ed25519 AAAA"])
        return machine
    }

    private func operation(_ request: OperationRequest, at step: StepName? = nil, evidence: [String: String] = [:]) -> Model.Operation {
        var operation = Model.Operation(
            id: OperationID(unchecked: "op-0001"), machine: MachineID(unchecked: "m-0000"), generation: 1, request: request,
            steps: request.stepNames.map(Step.init), requestedBy: "t", createdAt: Timestamp(milliseconds: 0))
        for index in operation.steps.indices {
            if operation.steps[index].name == step {
                operation.steps[index].state = .running
                operation.steps[index].evidence = evidence
                operation.steps[index].progress = Progress(done: 4, total: 10)
                break
            }
            if step != nil { operation.steps[index].state = .succeeded }
        }
        return operation
    }

    private func problem(_ machine: Machine, _ operation: Model.Operation? = nil, login: String? = nil) -> Problem? {
        do throws(Problem) {
            _ = try SSHTarget.decide(machine, operation: operation, login: login, port: 22)
            return nil
        } catch { return error }
    }

    @Test("is the system, by the keys of its proof") func system() throws {
        let target = try SSHTarget.decide(try installed(), operation: nil, login: nil, port: 2222)
        #expect(target == SSHTarget(user: "debian", address: "10.0.0.7", port: 2222, hostKeys: ["ssh-ed25519 AAAA"], isInstalled: true))
        var waiting = operation(.install(InstallRequest(image: "x")))
        waiting.state = .waiting
        #expect(try SSHTarget.decide(try installed(), operation: waiting, login: "ann", port: 22).user == "ann", "it runs until the second word")
        #expect(try SSHTarget.decide(try installed(.inspecting), operation: operation(.inspect, at: .agent), login: nil, port: 22).isInstalled)
    }

    @Test("is the rescue shell while one is open, as root, by the key that it made") func rescue() throws {
        var one = try installed(.rescue)
        let evidence = ["address": "10.6.6.6", "port": "22", "hostKey": "ssh-ed25519 BBBB"]
        let shell = operation(.rescue(RescueRequest(sshKeys: [])), at: .shell, evidence: evidence)
        #expect(
            try SSHTarget.decide(one, operation: shell, login: nil, port: 2222)
                == SSHTarget(user: "root", address: "10.0.0.7", port: 22, hostKeys: ["ssh-ed25519 BBBB"], isInstalled: false),
            "at the address that it is known by, whatever it says")
        #expect(problem(one, shell, login: "debian")?.code == "rescue-user")
        #expect(problem(one, operation(.rescue(RescueRequest(sshKeys: [])), at: .agent))?.code == "rescue-not-ready")
        for key in ["ssh-ed25519 BBBB\n* ssh-ed25519 CCCC", "ssh-\u{1b}c"] {
            var forged = evidence
            forged["hostKey"] = key
            #expect(problem(one, operation(.rescue(RescueRequest(sshKeys: [])), at: .shell, evidence: forged))?.code == "rescue-not-ready")
        }
        for port in ["0", "65536", "-1", "x"] {
            var forged = evidence
            forged["port"] = port
            #expect(problem(one, operation(.rescue(RescueRequest(sshKeys: [])), at: .shell, evidence: forged))?.code == "rescue-not-ready")
        }
        one.installed = nil
        #expect(problem(one, shell) == nil, "it needs no system")
    }

    @Test("is none while the machine is installed or wiped: how far that is, and how to follow it, is said") func busy() throws {
        for (request, step, word) in [
            (OperationRequest.install(InstallRequest(image: "x")), StepName.writeImage, "installed"),
            (.wipe(WipeRequest()), .wipeDisks, "wiped"),
        ] {
            let told = try #require(problem(try installed(.installing), operation(request, at: step)))
            #expect(told.code == "machine-busy" && told.title.hasSuffix("is being \(word)"))
            #expect(told.detail == "op-0001 is at \(step.rawValue), 40 % done" && told.remedy?.contains("hostler operation watch op-0001") == true)
            #expect(told.remedy?.contains("install") == false)
        }
    }

    @Test("advises to install only a machine that has nothing, and is not held, nor half wiped") func advice() throws {
        #expect(problem(try machine(.ready))?.remedy?.contains("hostler machine install") == true)
        #expect(problem(try machine(.wiping))?.code == "machine-not-clean")
        var held = try machine(.installing)
        held.holds = [Hold(id: HoldID(unchecked: "hold-0000"), problem: Problem("x", title: "y"), operation: nil, since: Timestamp(milliseconds: 0))]
        #expect(problem(held)?.code == "machine-held")
    }
}
