internal import Model

/// What a BMC is asked to do to the power.
public enum PowerRequest: String, Sendable, Equatable { case on, off, shutdown, restart }

/// Which `ResetType` (DSP0268 Resource.ResetType) does what is wanted, of those that a BMC takes.
public enum ResetChoice {
    /// In the order of preference.
    static func candidates(_ request: PowerRequest) -> [String] {
        switch request {
        case .on: ["On", "ForceOn", "PushPowerButton"]
        case .off: ["ForceOff"]
        case .shutdown: ["GracefulShutdown", "PushPowerButton"]
        case .restart: ["ForceRestart", "PowerCycle", "GracefulRestart"]
        }
    }

    /// Nil where the BMC offers nothing that does it. Without a list from the BMC, the first candidate is tried.
    public static func resetType(for request: PowerRequest, allowed: [String]?) -> String? {
        guard let allowed, !allowed.isEmpty else { return candidates(request).first }
        for wanted in candidates(request) {
            if let offered = allowed.first(where: { $0.lowercased() == wanted.lowercased() }) { return offered }
        }
        return nil
    }
}
