import Attestation
import FoundationEssentials
import Glibc
import TPM
import Wire

// What scripts/attestation-judges.sh calls: our verifier and our challenges on files, between a TPM and tpm2-tools.
//
//   attestation-judge name KEY.pub
//   attestation-judge certificate CERTIFICATE.der EK.pub AUTHORITIES.pem
//   attestation-judge challenge EK.pub AK_NAME_HEX SECRET_HEX OUT
//   attestation-judge verify QUOTE SIGNATURE AK.pub NONCE_HEX VALUES [--policy VALUES] [--log FILE] [--policy-log FILE]
//
// Public keys are TPM2B_PUBLIC; VALUES has lines of `register hex`, of the SHA-256 bank.

struct Failure: Error, CustomStringConvertible {
    var description: String
    init(_ description: String) { self.description = description }
}

func bytes(_ path: String) throws -> [UInt8] {
    guard let data = FileManager.default.contents(atPath: path) else { throw Failure("\(path) cannot be read") }
    return Array(data)
}

func hex(_ text: String) throws -> [UInt8] {
    guard let bytes = Hex.decode(text) else { throw Failure("“\(text)” is not hex") }
    return bytes
}

func bank(_ path: String) throws -> PCRBank {
    var values: [Int: [UInt8]] = [:]
    for line in String(decoding: try bytes(path), as: UTF8.self).split(separator: "\n") {
        let words = line.split(separator: " ")
        guard words.count == 2, let register = Int(words[0]) else { throw Failure("\(path) has a line “\(line)”") }
        values[register] = try hex(String(words[1]))
    }
    return PCRBank(hash: .sha256, values: values)
}

func run(_ arguments: [String]) throws -> Int32 {
    switch arguments.first {
    case "name" where arguments.count == 2:
        guard let name = try TPMPublicArea(parsingSized: bytes(arguments[1])).name else { throw Failure("no name") }
        print(Hex.encode(name))
    case "certificate" where arguments.count == 4:
        let roots = try EndorsementRoots(pem: String(decoding: bytes(arguments[3]), as: UTF8.self))
        print(try roots.check(bytes(arguments[1]), of: TPMPublicArea(parsingSized: bytes(arguments[2])), now: Date()))
    case "challenge" where arguments.count == 5:
        let challenge = try CredentialChallenge(
            secret: hex(arguments[3]), for: hex(arguments[2]), endorsement: TPMPublicArea(parsingSized: bytes(arguments[1])))
        // tpm2-tools' own file header: a magic number and version 1.
        let file = [0xba, 0xdc, 0xc0, 0xde, 0, 0, 0, 1] + challenge.credentialBlob + challenge.encryptedSecret
        try Data(file).write(to: URL(filePath: arguments[4]))
    case "verify" where arguments.count >= 6:
        func option(_ name: String) -> String? {
            arguments.firstIndex(of: name).flatMap { $0 + 1 < arguments.count ? arguments[$0 + 1] : nil }
        }
        let evidence = QuoteEvidence(
            attest: try bytes(arguments[1]), signature: try bytes(arguments[2]), bank: try bank(arguments[5]),
            log: try option("--log").map(bytes))
        let policy = try option("--policy").map { path in
            PCRPolicy(bank: try bank(path), log: try option("--policy-log").map { try EventLog(parsing: bytes($0)) })
        }
        let verdict = QuoteVerifier.verify(
            evidence, key: try TPMPublicArea(parsingSized: bytes(arguments[3])), nonce: try hex(arguments[4]), policy: policy,
            registers: [0, 1, 2, 3, 4, 5, 6, 7])
        switch verdict {
        case .attested: print("attested")
        case .refused(let why): print("refused: \(why)")
        case .differs(let differences): for difference in differences { print("differs: \(difference)") }
        }
        if case .attested = verdict { return 0 } else { return 1 }
    default: throw Failure("see the head of main.swift")
    }
    return 0
}

do {
    exit(try run(Array(CommandLine.arguments.dropFirst())))
} catch {
    print("failed: \(error)")
    exit(2)
}
