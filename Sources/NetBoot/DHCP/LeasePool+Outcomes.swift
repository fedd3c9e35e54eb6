public import Wire

extension LeasePool {
    public enum Offer: Hashable, Sendable {
        case address(IPv4Address)
        /// Every address is held by somebody, or there are only reservations
        /// and none for this machine.
        case exhausted
        /// Clients that nobody knows hold their whole share.
        case unknownShareUsed
    }

    public enum Grant: Hashable, Sendable {
        case granted(DHCPLease)
        case heldByAnother
        /// As of an offer.
        case unknownShareUsed
        /// Neither in a range nor reserved.
        case notInPool
    }

    public enum Decline: Hashable, Sendable {
        /// Nobody gets the address for a while.
        case quarantined(DHCPLease)
        /// The client says so too often: the address is free again.
        case refused
        /// The client was not given the address.
        case notItsLease
        /// It was given it long ago.
        case late
    }
}
