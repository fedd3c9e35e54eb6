internal import Hummingbird
internal import NIOCore

/// What is known of a request beside the request itself.
struct APIContext: RequestContext {
    var coreContext: CoreRequestContextStorage
    /// The client's address, without its port.
    var address: String
    /// Cuts the connection.
    let close: @Sendable () -> Void

    init(source: ApplicationRequestContextSource) {
        coreContext = .init(source: source)
        close = { [channel = source.channel] in channel.close(promise: nil) }
        address = source.channel.remoteAddress?.ipAddress ?? "unknown"
    }
}
