public import Model

/// The problems that a BMC makes, in words for the operator. `where` is its address.
extension Problem {
    static func bmc(
        _ code: String, status: Int = 502, _ title: String, detail: String? = nil, remedy: String? = nil
    ) -> Problem {
        Problem("bmc-" + code, status: status, title: title, detail: detail, remedy: remedy)
    }

    static func bmcUnreachable(_ address: String, _ cause: String) -> Problem {
        .bmc(
            "unreachable", "The BMC at \(address) cannot be reached", detail: cause,
            remedy:
                "Is it powered, is its cable in, and is the address right? A BMC that hangs comes back by taking the machine's power cord out for a minute."
        )
    }

    static func bmcSilent(_ address: String, after: Duration) -> Problem {
        .bmc(
            "silent", "The BMC at \(address) did not answer within \(after.wholeMilliseconds / 1000) s",
            detail: "The connection was made, or tried, and nothing came.",
            remedy: "It may hang: restart the BMC from its own web page, or take the machine's power cord out for a minute.")
    }

    static func bmcUnauthorised(_ address: String, said: String?) -> Problem {
        .bmc(
            "auth-refused", "The BMC at \(address) refuses the user name or password", detail: said,
            remedy: "Give the right ones with: hostler bmc add, or see whether the account is locked.")
    }

    static func bmcUnsupported(_ what: String, _ why: String) -> Problem {
        .bmc("unsupported", status: 422, "This BMC cannot \(what)", detail: why)
    }

    /// Whether it says that the BMC itself does not work, and not only that it refused one thing.
    public var isBMCOutage: Bool { Self.outages.contains(code) }

    /// Whether it concerns one resource alone: a BMC may fail at one part (many answer 500 there) and have the others.
    var isOfOneResource: Bool { code == "bmc-error" || !isBMCOutage && !isBMCFinal || code == "bmc-unsupported" }

    /// Whether asking again cannot help until a person did something.
    public var isBMCFinal: Bool { Self.finals.contains(code) }

    private static let outages: Set<String> = [
        "bmc-unreachable", "bmc-silent", "bmc-error", "bmc-not-json", "bmc-truncated", "bmc-too-large", "bmc-redirected",
        "bmc-link-foreign", "bmc-answer-elsewhere", "bmc-links-loop", "bmc-certificate-changed",
    ]
    private static let finals: Set<String> = [
        "bmc-auth-refused", "bmc-certificate-changed", "bmc-certificate-untrusted", "bmc-unsupported", "bmc-redirected",
        "tool-missing", "vault-key-missing",
    ]
}
