internal import AsyncHTTPClient
internal import Model
internal import NIOCore

/// Fetches a file by HTTP into a temporary file, going on where a broken connection left off.
struct ImageDownload {
    let url: String
    let limitBytes: UInt64
    var client: HTTPClient = .shared
    /// How often in a row a connection may break without a byte having come.
    var limitAttempts = 5

    private enum Failure: Error {
        /// Worth another try.
        case broken(String)
    }

    /// How far it is, and what a continuation must match.
    private struct Progress {
        var offset: UInt64 = 0
        var validator: String?
    }

    func fetch(into file: DiskFile, report: (UInt64) -> Void) async throws {
        var progress = Progress()
        var attempt = 0
        while true {
            let before = progress.offset
            let reason: String
            do {
                try await fetchOnce(into: file, &progress, report)
                return
            } catch let problem as Problem {
                throw problem
            } catch is CancellationError {
                throw CancellationError()
            } catch {
                reason = "\(error)"
            }
            attempt = progress.offset > before ? 1 : attempt + 1
            guard attempt < limitAttempts else {
                throw Problem(
                    "download-failed", status: 502, title: "Could not fetch \(url)", detail: reason,
                    remedy: "Check the address and the network, then try again.")
            }
            try await Task.sleep(for: .milliseconds(250 << attempt))
        }
    }

    private func fetchOnce(
        into file: DiskFile, _ progress: inout Progress, _ report: (UInt64) -> Void
    ) async throws {
        var request = HTTPClientRequest(url: url)
        // A server that cannot say which version it has is asked for all of it again.
        if progress.offset > 0, let validator = progress.validator {
            request.headers.add(name: "range", value: "bytes=\(progress.offset)-")
            request.headers.add(name: "if-range", value: validator)
        }
        let response = try await client.execute(request, timeout: .hours(24))
        switch response.status.code {
        case 206:
            guard contentRangeStart(response) == progress.offset else {
                progress = Progress()
                throw Failure.broken("the server sent another range than was asked for")
            }
        case 200:
            progress = Progress()
            progress.validator = validator(response)
        case 408, 429, 500...599: throw Failure.broken("the server answered \(response.status)")
        default:
            throw Problem(
                "download-refused", status: 502, title: "The server does not give \(url)",
                detail: "It answered \(response.status).", remedy: "Check the address.")
        }
        let length = response.headers.first(name: "content-length").flatMap { UInt64($0) }
        let expected = length.map { progress.offset + $0 }
        if let expected, expected > limitBytes { throw Problem.tooLarge(limitBytes: limitBytes) }
        for try await buffer in response.body {
            guard progress.offset + UInt64(buffer.readableBytes) <= limitBytes else {
                throw Problem.tooLarge(limitBytes: limitBytes)
            }
            try file.write(Array(buffer.readableBytesView), at: progress.offset)
            progress.offset += UInt64(buffer.readableBytes)
            report(progress.offset)
        }
        if let expected, progress.offset != expected {
            throw Failure.broken("\(progress.offset) of \(expected) bytes came")
        }
        guard try file.byteCount() == progress.offset else {
            throw Failure.broken("the file became shorter on the server")
        }
    }

    /// A strong ETag, or the date (RFC 9110 §13.1.5).
    private func validator(_ response: HTTPClientResponse) -> String? {
        if let tag = response.headers.first(name: "etag"), !tag.hasPrefix("W/") { return tag }
        return response.headers.first(name: "last-modified")
    }

    /// The start of `bytes 5-9/10`.
    private func contentRangeStart(_ response: HTTPClientResponse) -> UInt64? {
        response.headers.first(name: "content-range")?.split(separator: " ").last?.split(separator: "-").first
            .flatMap { UInt64($0) }
    }
}
