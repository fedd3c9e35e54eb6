public import Model
internal import Store

/// A change of the time for which a machine is lent.
public struct LeasePatch: Codable, Sendable, Equatable {
    /// Nil: it is lent no longer.
    public var endsAt: Timestamp?
    /// To whom; nil: as before, where the same lease goes on.
    public var holder: String?

    public init(endsAt: Timestamp?, holder: String? = nil) {
        self.endsAt = endsAt
        self.holder = holder
    }

    /// A lease that goes on keeps its id; after one that is over another begins.
    func applied(to lease: LeaseTerm?, now: Timestamp) throws(Problem) -> LeaseTerm? {
        guard let endsAt else { return nil }
        guard endsAt > now else {
            throw Problem(
                "lease-end-past", status: 422, title: "A lease cannot end at \(endsAt): that is over", detail: "now it is \(now)",
                remedy: "Give a time to come; to end the lease at once, take it away.")
        }
        // A name, with the rules of names.
        var holder = holder
        if let name = holder { holder = try DisplayName(name).text }
        if let lease, lease.endedAt == nil, lease.endsAt > now {
            return LeaseTerm(id: lease.id, endsAt: endsAt, holder: holder ?? lease.holder)
        }
        return LeaseTerm(id: LeaseID.random(length: 8).rawValue, endsAt: endsAt, holder: holder)
    }
}

extension ControlPlane {
    /// Tells of leases that are over: in the events, and to the machines themselves, whose metadata has it.
    func endLeases() async throws {
        for machine in snapshot.machines.values {
            guard let lease = machine.desired.lease else { continue }
            if lease.endedAt != nil, lease.endsAt > now { try await resume(lease, of: machine) }
            guard lease.endedAt == nil, lease.endsAt <= now else { continue }
            do {
                _ = try await edit(machine: machine.id.rawValue, expecting: nil, kind: "lease.ended", by: "control") { machine, _ in
                    // Moved meanwhile: it goes on.
                    guard let lease = machine.desired.lease, lease.endedAt == nil, lease.endsAt <= self.now else { throw LeaseGoesOn() }
                    machine.desired.lease?.endedAt = self.now
                    return "The lease of \(machine.name) ended; it gets no identity any more"
                }
            } catch is LeaseGoesOn {
            } catch StoreError.closed {
                throw StoreError.closed
            } catch {
                // The identity ended with the lease, whether that is written down or not. It is tried again below.
                environment.logger.error(
                    "a lease's end could not be recorded", metadata: ["machine": "\(machine.id)", "error": "\(error)"])
            }
        }
    }

    /// Its end was written down while the clock was ahead, and is still to come.
    private func resume(_ lease: LeaseTerm, of machine: Machine) async throws {
        do {
            _ = try await edit(machine: machine.id.rawValue, expecting: nil, kind: "lease.resumed", by: "control") { machine, _ in
                guard machine.desired.lease == lease, lease.endsAt > self.now else { throw LeaseGoesOn() }
                machine.desired.lease?.endedAt = nil
                return "The lease of \(machine.name) goes on to \(lease.endsAt): the clock was ahead when its end was noted"
            }
        } catch is LeaseGoesOn {
        } catch StoreError.closed {
            throw StoreError.closed
        } catch {
            environment.logger.error(
                "a lease that goes on could not be recorded", metadata: ["machine": "\(machine.id)", "error": "\(error)"])
        }
    }

    private struct LeaseGoesOn: Error {}
}
