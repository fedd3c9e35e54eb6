import Testing
import Wire

@testable import TPM

@Suite("TPM structures") struct StructureTests {
    @Test("what a TPM sent is written again as it was") func roundTrip() throws {
        let area = try CapturedQuote.area()
        #expect(area.serializeSized() == CapturedQuote.key)
        #expect(area.attributes.isSuperset(of: [.restricted, .sign, .fixedTPM]))
        #expect(area.scheme == .init(algorithm: .ecdsa, hash: .sha256))
        let quote = try TPMQuote(parsing: CapturedQuote.attest)
        #expect(quote.serialize() == CapturedQuote.attest)
        #expect(quote.extraData == CapturedQuote.nonce)
        #expect(quote.selection == PCRSelection(banks: [.init(hash: .sha256, registers: Array(0..<8))]))
        #expect(try TPMSignature(parsing: CapturedQuote.signature).serialize() == CapturedQuote.signature)
    }

    @Test("random structures survive writing and reading") func seeded() throws {
        let seed = UInt64.random(in: 0 ... .max)
        var random = SplitMix(state: seed)
        for _ in 0..<500 {
            let area = TPMPublicArea.random(&random)
            #expect(try TPMPublicArea(parsingSized: area.serializeSized()) == area, "seed \(seed)")
        }
    }

    @Test("cut off at any byte, or with a byte too many, each is refused") func truncated() throws {
        for count in 0..<CapturedQuote.key.count {
            #expect(throws: TPMFormatError.self) { try TPMPublicArea(parsingSized: Array(CapturedQuote.key.prefix(count))) }
        }
        for count in 0..<CapturedQuote.attest.count {
            #expect(throws: TPMFormatError.self) { try TPMQuote(parsing: Array(CapturedQuote.attest.prefix(count))) }
        }
        for count in 0..<CapturedQuote.signature.count {
            #expect(throws: TPMFormatError.self) { try TPMSignature(parsing: Array(CapturedQuote.signature.prefix(count))) }
        }
        #expect(throws: TPMFormatError.self) { try TPMPublicArea(parsingSized: CapturedQuote.key + [0]) }
        #expect(throws: TPMFormatError.self) { try TPMQuote(parsing: CapturedQuote.attest + [0]) }
        #expect(throws: TPMFormatError.self) { try TPMSignature(parsing: CapturedQuote.signature + [0]) }
    }

    @Test("an event log is read to its last byte, and refused where it is cut within an event") func log() throws {
        let log = try EventLog(parsing: CapturedQuote.log)
        #expect(log.banks == [.sha256] && log.events.count == 11)
        #expect(
            log.measurements(of: 4).map(\.summary) == [
                "UEFI action “Calling EFI Application from Boot Option”", "separator", "UEFI boot program",
            ])
        #expect(log.events[0].summary == "SCRTM version" && log.startupLocality == 0)
        var whole = 0
        for count in 0..<CapturedQuote.log.count where (try? EventLog(parsing: Array(CapturedQuote.log.prefix(count)))) != nil { whole += 1 }
        // After the header, and after each event but the last.
        #expect(whole == 11)
    }

    @Test("a log that claims more than there is takes no memory for it") func liar() {
        // An event of 4 GiB, and a digest count of 4 billion.
        let head = Array(CapturedQuote.log.prefix(65))
        for tail: [UInt8] in [
            [0, 0, 0, 0, 8, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 0xff, 0xff], [0, 0, 0, 0, 8, 0, 0, 0, 0xff, 0xff, 0xff, 0xff],
            [99, 0, 0, 0, 8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0],
        ] { #expect(throws: TPMFormatError.self) { try EventLog(parsing: head + tail) } }
    }
}

struct SplitMix: RandomNumberGenerator {
    var state: UInt64
    mutating func next() -> UInt64 {
        state &+= 0x9e37_79b9_7f4a_7c15
        var z = state
        z = (z ^ (z >> 30)) &* 0xbf58_476d_1ce4_e5b9
        z = (z ^ (z >> 27)) &* 0x94d0_49bb_1331_11eb
        return z ^ (z >> 31)
    }
}

extension TPMPublicArea {
    static func random(_ random: inout SplitMix) -> TPMPublicArea {
        func bytes(_ count: Int) -> [UInt8] { (0..<count).map { _ in UInt8.random(in: 0...255, using: &random) } }
        let isRSA = Bool.random(using: &random)
        let schemes: [Scheme?] = [
            nil, .init(algorithm: isRSA ? .rsaSSA : .ecdsa, hash: .sha256), isRSA ? .init(algorithm: .rsaES, hash: .null) : nil,
        ]
        return TPMPublicArea(
            nameAlgorithm: [.sha256, .sha384].randomElement(using: &random) ?? .sha256,
            attributes: Attributes(rawValue: .random(in: 0 ... .max, using: &random)), authPolicy: bytes(Int.random(in: 0...64, using: &random)),
            symmetric: Bool.random(using: &random) ? Symmetric(algorithm: .aes, keyBits: 128, mode: .cfb) : nil,
            scheme: schemes.randomElement(using: &random) ?? nil,
            key: isRSA
                ? .rsa(keyBits: 2048, exponent: .random(in: 0 ... .max, using: &random), modulus: bytes(Int.random(in: 0...512, using: &random)))
                : .ecc(curve: .random(in: 0...9, using: &random), x: bytes(Int.random(in: 0...66, using: &random)), y: bytes(32)))
    }
}
