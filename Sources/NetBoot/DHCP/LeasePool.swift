public import Wire

/// The addresses of one network and who has them.
///
/// A client gets the address it had before for as long as nobody else needed
/// it: addresses never used go first, then those given back unused, and only
/// then the lease that ran out longest ago. Every choice is O(log n).
///
/// Clients whose MAC address is no known machine's have a share of the addresses, and never the rest (``PoolShares``).
public struct LeasePool: Sendable {
    private struct Record: Sendable {
        var lease: DHCPLease
        /// A granted address that is offered again is held until then.
        var offeredUntil: Int64 = 0
        /// Whether its client was a known machine when it was looked at last.
        var isKnown: Bool
        let slot: Int

        var wasGranted: Bool { lease.state == .bound || lease.state == .released }
        var busyUntil: Int64 { max(lease.expiresMilliseconds, offeredUntil, lease.keptUntilMilliseconds ?? 0) }
    }

    private let ranges: [(first: UInt32, last: UInt32, slot: Int)]
    /// Slots below this are the ranges' addresses; above, reservations outside them.
    private let rangeSlots: Int
    private let outsideSlots: [IPv4Address: Int]
    private let outsideAddresses: [IPv4Address]
    private let reservationsByMAC: [MACAddress: DHCPServerConfiguration.Reservation]
    private let reservedAddresses: [IPv4Address: MACAddress]
    private let unusable: Set<IPv4Address>
    private let offerHoldMilliseconds: Int64
    private let declineMilliseconds: Int64
    private let declineWindowMilliseconds: Int64
    private let releasedMilliseconds: Int64
    private let rememberedUnknown: Int
    private let isKnown: @Sendable (MACAddress) -> Bool

    /// The record at each slot; -1 for none.
    private var slots: [Int32]
    private var records: [Record?] = []
    private var vacantRecords: [Int] = []
    private var recordsByClient: [DHCPClientKey: Int] = [:]
    /// Bound and released: may be given to another once they ran out.
    private var granted = DeadlineHeap()
    /// Offered and declined: forgotten when their time is over.
    private var holds = DeadlineHeap()
    /// No slot from here on was ever chosen by the pool.
    private var nextFresh = 0
    /// Slots below `nextFresh` that became free, in the order to use them.
    private var freed: [Int] = []
    private var freedHead = 0
    private var isFreed: [Bool]
    private var shares: PoolShares
    private var declinesOfKnown: DeclineLedger
    private var declinesOfUnknown: DeclineLedger
    /// Addresses whose durable leases count no more.
    private var forgotten: [IPv4Address] = []

    /// `isKnown` says whether a MAC address is a known machine's: a pure look-up, asked for each packet. `leases` are those that were durable; what is not in this network any
    /// more is left out. The configuration must be valid.
    public init(
        _ configuration: DHCPServerConfiguration, leases: some Sequence<DHCPLease> = [],
        isKnown: @escaping @Sendable (MACAddress) -> Bool = { _ in true }
    ) {
        self.isKnown = isKnown
        var slot = 0
        var ranges: [(first: UInt32, last: UInt32, slot: Int)] = []
        for range in configuration.ranges.sorted(by: { $0.first < $1.first }) where range.first <= range.last {
            ranges.append((range.first.value, range.last.value, slot))
            slot += Int(range.last.value - range.first.value) + 1
        }
        self.ranges = ranges
        rangeSlots = slot
        var outside: [IPv4Address: Int] = [:]
        var outsideAddresses: [IPv4Address] = []
        for reservation in configuration.reservations
        where !configuration.ranges.contains(where: { $0.contains(reservation.address) })
            && outside[reservation.address] == nil
        {
            outside[reservation.address] = slot
            outsideAddresses.append(reservation.address)
            slot += 1
        }
        outsideSlots = outside
        self.outsideAddresses = outsideAddresses
        reservationsByMAC = Dictionary(configuration.reservations.map { ($0.mac, $0) }) { first, _ in first }
        reservedAddresses = Dictionary(configuration.reservations.map { ($0.address, $0.mac) }) { first, _ in first }
        unusable = configuration.unusable
        offerHoldMilliseconds = Int64(configuration.offerHoldSeconds) * 1_000
        declineMilliseconds = Int64(configuration.declineSeconds) * 1_000
        declineWindowMilliseconds = Int64(configuration.declineWindowSeconds) * 1_000
        releasedMilliseconds = Int64(configuration.releasedSeconds) * 1_000
        rememberedUnknown = configuration.rememberedUnknown
        declinesOfKnown = DeclineLedger(limit: configuration.declinesPerHour)
        declinesOfUnknown = declinesOfKnown
        let apart = configuration.reservations.map(\.address) + configuration.unusable
        let taken = Set(apart).count { address in configuration.ranges.contains { $0.contains(address) } }
        shares = PoolShares(
            dynamicCount: rangeSlots - taken, unknownPercent: configuration.unknownPercent,
            declinedPercent: configuration.declinedPercent)
        slots = Array(repeating: -1, count: slot)
        isFreed = Array(repeating: false, count: slot)
        for lease in leases { load(lease) }
        giveBackDeclines()
    }

    // MARK: Looking

    /// Everything that is not free, in no order; offers included.
    public var leases: [DHCPLease] { records.compactMap { $0?.lease } }

    public func lease(at address: IPv4Address) -> DHCPLease? { record(at: address).flatMap { records[$0]?.lease } }

    public func lease(of client: DHCPClientKey) -> DHCPLease? { recordsByClient[client].flatMap { records[$0]?.lease } }

    public func reservation(for mac: MACAddress) -> DHCPServerConfiguration.Reservation? { reservationsByMAC[mac] }

    public func contains(_ address: IPv4Address) -> Bool { slot(of: address) != nil }

    /// The address a client should have: its reservation, else the one it had.
    /// Nil for a client that is not known.
    public func expectedAddress(
        of client: DHCPClientKey, mac: MACAddress, nowMilliseconds now: Int64
    ) -> IPv4Address? {
        if let reserved = reservationsByMAC[mac]?.address, let slot = slot(of: reserved),
            isFree(slot, reserved, for: client, mac, now)
        {
            return reserved
        }
        guard let lease = lease(of: client), let slot = slot(of: lease.address),
            isFree(slot, lease.address, for: client, mac, now)
        else { return nil }
        return lease.address
    }

    /// The addresses whose durable leases are to be deleted, each once it was taken here.
    public mutating func takeForgotten() -> [IPv4Address] {
        guard !forgotten.isEmpty else { return [] }
        defer { forgotten = [] }
        return forgotten
    }

    // MARK: Events

    /// Chooses an address and holds it for the client's request.
    /// - Parameter requested: the address it would like (option 50).
    public mutating func offer(
        to client: DHCPClientKey, mac: MACAddress, requested: IPv4Address?, nowMilliseconds now: Int64
    ) -> Offer {
        dropOverdueHolds(now)
        let isKnown = isKnown(mac)
        guard isKnown || hasRoom(for: client, now) else { return .unknownShareUsed }
        guard let slot = choose(client, mac, isKnown: isKnown, requested, now) else { return .exhausted }
        let address = address(of: slot)
        let number = claim(slot, for: client, mac, isKnown: isKnown, now)
        if var record = records[number] {
            let until = now + offerHoldMilliseconds
            if record.wasGranted { record.offeredUntil = until } else { record.lease.expiresMilliseconds = until }
            records[number] = record
            schedule(number)
        }
        return .address(address)
    }

    /// Binds an address that is free for this client. On anything but `granted`
    /// nothing has changed.
    public mutating func grant(
        _ address: IPv4Address, to client: DHCPClientKey, mac: MACAddress, hostname: String?,
        durationMilliseconds: Int64, nowMilliseconds now: Int64
    ) -> Grant {
        guard let slot = slot(of: address) else { return .notInPool }
        let isKnown = isKnown(mac)
        guard isFree(slot, address, for: client, mac, isKnown: isKnown, asksForGrant: true, now) else { return .heldByAnother }
        dropOverdueHolds(now)
        guard isKnown || hasRoom(for: client, now) else { return .unknownShareUsed }
        let number = claim(slot, for: client, mac, isKnown: isKnown, now)
        let lease = DHCPLease(
            address: address, client: client, mac: mac, hostname: hostname, grantedMilliseconds: now,
            expiresMilliseconds: now + durationMilliseconds, state: .bound)
        records[number]?.lease = lease
        records[number]?.offeredUntil = 0
        schedule(number)
        while let expired = shares.expired(beyond: rememberedUnknown, now) { forget(expired) }
        return .granted(lease)
    }

    /// The client chose another server: its offer is held no longer.
    public mutating func withdrawOffer(to client: DHCPClientKey) {
        guard let number = recordsByClient[client], let record = records[number] else { return }
        if record.wasGranted {
            records[number]?.offeredUntil = 0
            schedule(number)
        } else {
            forget(number)
        }
    }

    /// The released lease, or nil where the client did not have the address. Nobody proves who sent it: a known machine's
    /// address is kept for that machine for a while.
    public mutating func release(
        _ address: IPv4Address, by client: DHCPClientKey, mac: MACAddress, nowMilliseconds now: Int64
    ) -> DHCPLease? {
        guard let number = record(at: address), var record = records[number], record.lease.client == client,
            record.lease.mac == mac, record.lease.state == .bound
        else { return nil }
        record.isKnown = isKnown(mac)
        if record.isKnown { record.lease.keptUntilMilliseconds = max(record.lease.expiresMilliseconds, now + releasedMilliseconds) }
        record.lease.state = .released
        record.lease.expiresMilliseconds = min(now, record.lease.expiresMilliseconds)
        record.offeredUntil = 0
        records[number] = record
        schedule(number)
        return record.lease
    }

    /// The client says that somebody uses the address.
    public mutating func decline(
        _ address: IPv4Address, by client: DHCPClientKey, mac: MACAddress, nowMilliseconds now: Int64
    ) -> Decline {
        guard let number = record(at: address), var record = records[number], record.lease.client == client, record.lease.mac == mac,
            record.lease.state == .bound || record.lease.state == .offered
        else { return .notItsLease }
        guard record.lease.state == .offered || now - record.lease.grantedMilliseconds <= declineWindowMilliseconds else { return .late }
        record.isKnown = isKnown(mac)
        guard record.isKnown ? declinesOfKnown.take(client, nowMilliseconds: now) : declinesOfUnknown.take(client, nowMilliseconds: now)
        else {
            forget(number)
            return .refused
        }
        record.lease.state = .declined
        record.lease.expiresMilliseconds = now + declineMilliseconds
        record.offeredUntil = 0
        records[number] = record
        if recordsByClient[client] == number { recordsByClient[client] = nil }
        schedule(number)
        giveBackDeclines()
        return .quarantined(record.lease)
    }

    /// Frees an address whoever has it: an operator's word.
    public mutating func forget(_ address: IPv4Address) {
        if let number = record(at: address) { forget(number) }
    }

    // MARK: Choosing

    private mutating func choose(
        _ client: DHCPClientKey, _ mac: MACAddress, isKnown: Bool, _ requested: IPv4Address?, _ now: Int64
    ) -> Int? {
        if let expected = expectedAddress(of: client, mac: mac, nowMilliseconds: now) { return slot(of: expected) }
        if let requested, let slot = slot(of: requested), isFree(slot, requested, for: client, mac, isKnown: isKnown, now) {
            return slot
        }
        while nextFresh < rangeSlots {
            defer { nextFresh += 1 }
            if slots[nextFresh] < 0, isDynamic(address(of: nextFresh)) { return nextFresh }
        }
        while freedHead < freed.count {
            let slot = freed[freedHead]
            freedHead += 1
            isFreed[slot] = false
            if freedHead > 1_024, freedHead * 2 > freed.count {
                freed.removeFirst(freedHead)
                freedHead = 0
            }
            if slots[slot] < 0 { return slot }
        }
        if let oldest = shares.oldestExpired(now) { return records[oldest]?.slot }
        if let oldest = granted.first, oldest.deadline <= now { return records[oldest.record]?.slot }
        return shares.oldestOffer.flatMap { records[$0]?.slot }
    }

    /// Whether a client that is not known may hold an address: one has it already, there is room in their share, or the oldest
    /// offer that was never requested gives way.
    private mutating func hasRoom(for client: DHCPClientKey, _ now: Int64) -> Bool {
        if shares.hasRoom(now) { return true }
        if let own = recordsByClient[client], shares.isHeld(own) { return true }
        if let numbers = shares.recordsToRecount(now) {
            for number in numbers {
                guard let record = records[number], isKnown(record.lease.mac) else { continue }
                records[number]?.isKnown = true
                schedule(number)
            }
            if shares.hasRoom(now) { return true }
        }
        guard let oldest = shares.oldestOffer else { return false }
        forget(oldest)
        return true
    }

    /// Ends the oldest quarantines where there are too many.
    private mutating func giveBackDeclines() {
        while let oldest = shares.oldestDeclineTooMany { forget(oldest) }
    }

    private func isDynamic(_ address: IPv4Address) -> Bool {
        reservedAddresses[address] == nil && !unusable.contains(address)
    }

    /// - Parameters:
    ///   - isKnown: whether the client is a known machine, if that matters; its own address it may have in any case.
    ///   - asksForGrant: it requests the address: one that is only offered, to an unknown client that has not requested it, is
    ///     free then. Offers to made-up clients keep nobody from what it was offered itself before.
    private func isFree(
        _ slot: Int, _ address: IPv4Address, for client: DHCPClientKey, _ mac: MACAddress, isKnown: Bool = true,
        asksForGrant: Bool = false, _ now: Int64
    ) -> Bool {
        if unusable.contains(address) { return false }
        let owner = reservedAddresses[address]
        if let owner, owner != mac { return false }
        guard slots[slot] >= 0, let record = records[Int(slots[slot])] else { return true }
        let isItsOwn = record.lease.client == client || (owner == mac && record.lease.mac == mac)
        if isItsOwn, record.lease.state != .declined { return true }
        if asksForGrant, !record.isKnown, record.lease.state == .offered { return true }
        // A known machine finds its address again, as long as there are others.
        if !isKnown, record.isKnown, record.wasGranted { return false }
        return record.busyUntil <= now
    }

    // MARK: Records

    /// The record at the slot, made the client's own.
    private mutating func claim(_ slot: Int, for client: DHCPClientKey, _ mac: MACAddress, isKnown: Bool, _ now: Int64) -> Int {
        let number: Int
        if slots[slot] >= 0 {
            number = Int(slots[slot])
        } else {
            number = vacantRecords.popLast() ?? records.count
            if number == records.count { records.append(nil) }
            slots[slot] = Int32(number)
        }
        if let old = records[number], old.lease.client == client, old.lease.state != .declined {
            records[number]?.lease.mac = mac
            records[number]?.isKnown = isKnown
        } else {
            if let old = records[number], recordsByClient[old.lease.client] == number {
                recordsByClient[old.lease.client] = nil
            }
            records[number] = Record(
                lease: DHCPLease(
                    address: address(of: slot), client: client, mac: mac, grantedMilliseconds: now,
                    expiresMilliseconds: now, state: .offered),
                isKnown: isKnown, slot: slot)
        }
        if let other = recordsByClient[client], other != number, let record = records[other], !record.wasGranted {
            forget(other)
        }
        recordsByClient[client] = number
        return number
    }

    private mutating func schedule(_ number: Int) {
        guard let record = records[number] else { return }
        // A reserved address is never given to another, so nobody waits for it.
        let isReserved = reservedAddresses[record.lease.address] != nil
        if record.wasGranted, !isReserved {
            granted.set(number, deadline: record.busyUntil)
        } else {
            granted.remove(number)
        }
        if record.wasGranted { holds.remove(number) } else { holds.set(number, deadline: record.busyUntil) }
        if isReserved {
            shares.remove(number)
        } else {
            shares.set(number, record.lease.state, isKnown: record.isKnown, busyUntil: record.busyUntil)
        }
    }

    private mutating func dropOverdueHolds(_ now: Int64) {
        while let hold = holds.first, hold.deadline <= now { forget(hold.record) }
    }

    private mutating func forget(_ number: Int) {
        granted.remove(number)
        holds.remove(number)
        shares.remove(number)
        guard let record = records[number] else { return }
        if recordsByClient[record.lease.client] == number { recordsByClient[record.lease.client] = nil }
        slots[record.slot] = -1
        records[number] = nil
        if record.lease.state != .offered { forgotten.append(record.lease.address) }
        vacantRecords.append(number)
        if record.slot < nextFresh, !isFreed[record.slot], isDynamic(record.lease.address) {
            freed.append(record.slot)
            isFreed[record.slot] = true
        }
    }

    /// Takes a durable lease into the table; of two for one address or one
    /// client the later counts.
    private mutating func load(_ lease: DHCPLease) {
        guard lease.state != .offered, let slot = slot(of: lease.address), !unusable.contains(lease.address) else {
            return
        }
        if slots[slot] >= 0, let old = records[Int(slots[slot])] {
            if old.lease.grantedMilliseconds > lease.grantedMilliseconds { return }
            forget(Int(slots[slot]))
        }
        let number = vacantRecords.popLast() ?? records.count
        if number == records.count { records.append(nil) }
        slots[slot] = Int32(number)
        records[number] = Record(lease: lease, isKnown: isKnown(lease.mac), slot: slot)
        if lease.state != .declined {
            let other = recordsByClient[lease.client].flatMap { records[$0]?.lease.grantedMilliseconds }
            if (other ?? .min) <= lease.grantedMilliseconds { recordsByClient[lease.client] = number }
        }
        schedule(number)
    }

    // MARK: Slots

    private func record(at address: IPv4Address) -> Int? {
        guard let slot = slot(of: address), slots[slot] >= 0 else { return nil }
        return Int(slots[slot])
    }

    private func slot(of address: IPv4Address) -> Int? {
        for range in ranges where range.first <= address.value && address.value <= range.last {
            return range.slot + Int(address.value - range.first)
        }
        return outsideSlots.isEmpty ? nil : outsideSlots[address]
    }

    private func address(of slot: Int) -> IPv4Address {
        for range in ranges where slot >= range.slot && slot - range.slot <= Int(range.last - range.first) {
            return IPv4Address(value: range.first + UInt32(slot - range.slot))
        }
        return outsideAddresses[slot - rangeSlots]
    }
}
