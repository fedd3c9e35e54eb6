import Testing

@testable import NetBoot

@Suite("TFTP read session")
struct TFTPReadSessionTests {
    private func request(_ options: (String, String)...) -> TFTPRequest {
        TFTPRequest(fileName: "f", options: options.map { TFTPOption(name: $0.0, value: $0.1) })
    }

    private func blocks(_ first: UInt64, _ count: Int, _ blockBytes: Int, _ fileBytes: UInt64) -> TFTPReadSession.Action {
        .sendBlocks(TFTPBlocks(first: first, count: count, blockBytes: blockBytes, fileBytes: fileBytes))
    }

    @Test("without options: block by block, until the short one")
    func plain() {
        var session = TFTPReadSession()
        #expect(session.start(request(), fileBytes: 1000) == blocks(1, 1, 512, 1000))
        #expect(session.receive(.acknowledgement(block: 1)) == blocks(2, 1, 512, 1000))
        #expect(session.receive(.acknowledgement(block: 2)) == .finished)
        #expect(session.receive(.acknowledgement(block: 2)) == .ignore)
        #expect(session.timerFired() == .ignore)
    }

    @Test("a file of whole blocks ends with an empty one, an empty file is one", arguments: [UInt64(0), 512])
    func wholeBlocks(fileBytes: UInt64) {
        var session = TFTPReadSession()
        var action = session.start(request(), fileBytes: fileBytes)
        for block in 1...UInt16(fileBytes / 512 + 1) {
            guard case .sendBlocks(let run) = action else {
                Issue.record("\(action)")
                return
            }
            #expect(run.byteRange == run.byteRange(at: 0))
            #expect(run.byteRange.isEmpty == (block == fileBytes / 512 + 1))
            action = session.receive(.acknowledgement(block: block))
        }
        #expect(action == .finished)
    }

    @Test(
        "the run that follows is the one that is sent when all came, and there is none after the last",
        arguments: [UInt64(0), 511, 512, 4096, 5000])
    func following(fileBytes: UInt64) {
        var session = TFTPReadSession()
        _ = session.start(request(("windowsize", "3")), fileBytes: fileBytes)
        var action = session.receive(.acknowledgement(block: 0))
        while case .sendBlocks(let run) = action {
            action = session.receive(.acknowledgement(block: run.wireNumber(at: run.count - 1)))
            #expect(action == run.following.map { .sendBlocks($0) } ?? .finished)
        }
        #expect(action == .finished)
    }

    @Test("options are acknowledged, and the transfer starts on the answer")
    func options() {
        var session = TFTPReadSession()
        let asked = request(
            ("blksize", "1468"), ("tsize", "0"), ("windowsize", "4"), ("multicast", ""), ("timeout", "2"))
        let agreed = ["blksize": "1468", "timeout": "2", "tsize": "10000", "windowsize": "4"].sorted { $0.key < $1.key }
            .map { TFTPOption(name: $0.key, value: $0.value) }
        #expect(session.start(asked, fileBytes: 10_000) == .sendOptionAcknowledgement(agreed))
        #expect(session.timeout == .seconds(2))
        #expect(session.timerFired() == .sendOptionAcknowledgement(agreed))
        #expect(session.timeout == .seconds(2), "an agreed timeout is kept to")
        #expect(session.receive(.acknowledgement(block: 3)) == .ignore)
        #expect(session.receive(.acknowledgement(block: 0)) == blocks(1, 4, 1468, 10_000))
        #expect(session.receive(.acknowledgement(block: 4)) == blocks(5, 3, 1468, 10_000))
        #expect(session.receive(.acknowledgement(block: 7)) == .finished)
    }

    @Test("options out of their limits are lowered or left out")
    func limits() {
        func agreed(_ name: String, _ value: String) -> String? {
            var session = TFTPReadSession()
            guard case .sendOptionAcknowledgement(let options) = session.start(request((name, value)), fileBytes: 1)
            else {
                return nil
            }
            return options.first?.value
        }
        #expect(agreed("blksize", "65464") == "1468")
        #expect(agreed("blksize", "8") == "8")
        #expect(agreed("windowsize", "65535") == "64")
        for (name, value) in [
            ("blksize", "7"), ("blksize", "65465"), ("blksize", "x"), ("blksize", ""),
            ("blksize", "99999999999999999999"),
            ("windowsize", "0"), ("windowsize", "-1"), ("timeout", "0"), ("timeout", "200"), ("unknown", "1"),
        ] {
            #expect(agreed(name, value) == nil, "\(name)=\(value)")
        }
    }

    @Test("a repeated acknowledgement of a lone block is not answered (Sorcerer's Apprentice)")
    func apprentice() {
        var session = TFTPReadSession()
        _ = session.start(request(), fileBytes: 5000)
        #expect(session.receive(.acknowledgement(block: 1)) == blocks(2, 1, 512, 5000))
        #expect(session.receive(.acknowledgement(block: 1)) == .ignore)
        #expect(session.receive(.acknowledgement(block: 0)) == .ignore)
        #expect(session.receive(.acknowledgement(block: 3)) == .ignore, "not sent yet")
        #expect(session.receive(.acknowledgement(block: 2)) == blocks(3, 1, 512, 5000))
    }

    @Test("a loss in a window starts it again behind what arrived, for repeated answers once")
    func windowLoss() {
        var session = TFTPReadSession()
        _ = session.start(request(("windowsize", "4")), fileBytes: 512 * 20)
        #expect(session.receive(.acknowledgement(block: 0)) == blocks(1, 4, 512, 10_240))
        #expect(session.receive(.acknowledgement(block: 2)) == blocks(3, 4, 512, 10_240))
        #expect(session.receive(.acknowledgement(block: 2)) == blocks(3, 4, 512, 10_240))
        #expect(session.receive(.acknowledgement(block: 2)) == .ignore)
        #expect(session.receive(.acknowledgement(block: 1)) == .ignore)
        #expect(session.receive(.acknowledgement(block: 6)) == blocks(7, 4, 512, 10_240))
    }

    @Test("a silent client is asked again with longer pauses, then given up")
    func silence() {
        var session = TFTPReadSession()
        _ = session.start(request(), fileBytes: 10)
        var pauses = [session.timeout]
        for _ in 0..<6 {
            #expect(session.timerFired() == blocks(1, 1, 512, 10))
            pauses.append(session.timeout)
        }
        #expect(pauses == [1, 2, 4, 8, 8, 8, 8].map { .seconds($0) })
        #expect(session.timerFired() == .abandon(.timedOut))
        #expect(session.receive(.acknowledgement(block: 1)) == .ignore)
    }

    @Test("progress makes the pauses short again")
    func recovery() {
        var session = TFTPReadSession()
        _ = session.start(request(), fileBytes: 1000)
        for _ in 0..<5 { _ = session.timerFired() }
        _ = session.receive(.acknowledgement(block: 1))
        #expect(session.timeout == .seconds(1))
        for _ in 0..<6 { #expect(session.timerFired() == blocks(2, 1, 512, 1000)) }
    }

    @Test("a client that only wanted the size stops it")
    func sizeOnly() {
        var session = TFTPReadSession()
        _ = session.start(request(("tsize", "0")), fileBytes: 10)
        #expect(
            session.receive(.error(code: .notDefined, message: "TFTP Aborted"))
                == .abandon(.stopped(.notDefined, message: "TFTP Aborted")))
    }

    @Test("the block number rolls over in a large file", arguments: [1, 7, 64])
    func rollOver(window: Int) {
        var session = TFTPReadSession()
        let fileBytes = UInt64(200_000) * 8 + 3
        var action = session.start(request(("blksize", "8"), ("windowsize", String(window))), fileBytes: fileBytes)
        action = session.receive(.acknowledgement(block: 0))
        var position: UInt64 = 0
        while case .sendBlocks(let run) = action {
            guard run.byteRange.lowerBound == position else {
                Issue.record("at \(position): \(run)")
                return
            }
            position = run.byteRange(at: run.count - 1).upperBound
            action = session.receive(.acknowledgement(block: run.wireNumber(at: run.count - 1)))
        }
        #expect(action == .finished)
        #expect(position == fileBytes)
    }

    @Test("over a wire that loses and repeats packets the file arrives whole", arguments: 1...20)
    func lossyWire(seed: Int) {
        var random = TFTPSeed(state: UInt64(seed))
        let window = [1, 2, 8, 64].randomElement(using: &random)!
        let fileBytes = UInt64.random(in: 0..<20_000, using: &random)
        var limits = TFTPReadSession.Limits()
        limits.retransmissions = 100
        var session = TFTPReadSession(limits: limits)
        var toServer: [TFTPPacket] = []
        var action = session.start(request(("blksize", "64"), ("windowsize", String(window))), fileBytes: fileBytes)
        var received: UInt64 = 0
        var last: UInt64 = 0
        var sendings = 0
        for _ in 0..<100_000 {
            switch action {
            case .finished:
                #expect(received == fileBytes)
                #expect(sendings < 3000)
                return
            case .sendOptionAcknowledgement:
                if random.next() % 4 != 0 { toServer.append(.acknowledgement(block: 0)) }
            case .sendBlocks(let run):
                sendings += 1
                for index in 0..<run.count where random.next() % 8 != 0 {
                    let block = run.first + UInt64(index)
                    if block == last + 1 {
                        last = block
                        received = run.byteRange(at: index).upperBound
                    }
                }
                // An answer may be lost, or come twice.
                for _ in 0..<[0, 1, 1, 2].randomElement(using: &random)! {
                    toServer.append(.acknowledgement(block: UInt16(truncatingIfNeeded: last)))
                }
            case .ignore: break
            default:
                Issue.record("\(action)")
                return
            }
            action = toServer.isEmpty ? session.timerFired() : session.receive(toServer.removeFirst())
        }
        Issue.record("no end")
    }
}
