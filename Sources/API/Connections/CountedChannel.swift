internal import HummingbirdCore
internal import Logging
internal import NIOCore

/// Refuses connections beyond the limits before anything is spent on them, TLS least of all.
struct CountedChannel<Base: ServerChildChannel>: ServerChildChannel {
    typealias Value = Base.Value

    let base: Base
    let count: ConnectionCount
    let refusals: RefusalNotes

    private struct Refused: Error {}

    func setup(channel: any Channel, logger: Logger) -> EventLoopFuture<Value> {
        let origin = ConnectionCount.Origin(channel.remoteAddress)
        guard count.open(origin) else {
            refusals.note("api.connection-refused", "the API has too many connections", origin: origin.name)
            return channel.close().flatMap { channel.eventLoop.makeFailedFuture(Refused()) }
        }
        channel.closeFuture.whenComplete { [count] _ in count.close(origin) }
        return base.setup(channel: channel, logger: logger)
    }

    func handle(value: Value, logger: Logger) async { await base.handle(value: value, logger: logger) }
}
