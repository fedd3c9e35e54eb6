public import Store

/// How much of the server one client may take, and how long it may take for it.
public struct ConnectionLimits: Sendable, Equatable {
    /// Connections in all. A person's tools have a few each; every watcher and every console has one.
    public var total = 1024
    /// Connections of one address; of IPv6 of one /64, which a host may fill by itself. A proxy or a dashboard for a whole
    /// team comes from one address.
    public var perAddress = 256
    /// The same for this host itself.
    public var perLoopback = 512
    /// Of `total` what only this host may take, so that its operator can always look.
    public var reservedForLoopback = 64

    /// From the connection's first packet to the end of its first request's head, TLS included.
    public var opening = Duration.seconds(20)
    /// From the end of an answer to the end of the next request's head.
    public var idle = Duration.seconds(75)
    /// A request's body brings at least ``bodyBytes`` in each such time while it is read: 800 bytes a second.
    public var bodyWindow = Duration.seconds(20)
    public var bodyBytes = 16_000
    /// Something that is written is taken within this time, or the client is gone.
    public var stall = Duration.seconds(30)
    /// After an answer that came before the request's body was over: how long, and how much, the client may go on sending
    /// before the connection is cut. Cut at once, it would not see the answer.
    public var drain = Duration.seconds(3)
    public var drainBytes = 1 << 20
    /// How often it is looked whether a connection is late.
    public var tick = Duration.seconds(1)

    /// What may wait for a watcher that does not read.
    public var watch = WatchBuffer.remote

    public init() {}
}
