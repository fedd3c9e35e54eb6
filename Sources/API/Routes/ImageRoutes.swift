internal import Hummingbird
internal import Model

enum ImageRoutes {
    static let routes: [Route] = [
        Route(
            method: .get, path: "/v1/images", name: "listImages", summary: "The images, and those being imported",
            access: .role(.viewer), reply: .json("ImageList")
        ) { call in
            let revision = try await call.server.records.store.currentRevision().rawValue
            return try .json(ListReply(items: await call.server.images.list(), revision: revision, next: nil))
        },
        Route(
            method: .post, path: "/v1/images", name: "importImage",
            summary: "Fetch an image by HTTP(S) and add it, behind this request", access: .role(.operator),
            body: "ImageRequest", reply: .json("Image", status: .accepted), handler: start),
        Route(
            method: .get, path: "/v1/images/{image}", name: "getImage", summary: "One image", access: .role(.viewer),
            reply: .json("Image")
        ) { call in try .json(await call.server.images.get(call.path("image"))) },
        Route(
            method: .delete, path: "/v1/images/{image}", name: "deleteImage", summary: "Remove an image",
            access: .role(.operator), reply: .none,
            foresee: { call in try await call.server.images.removal(of: call.path("image"), call.server.control) }
        ) { call in
            try await call.server.images.remove(call.path("image"), call.server.control, by: call.actor)
            return .nothing
        },
    ]

    private static func start(_ call: Call) async throws -> Response {
        let request = try await call.body(ImageRequest.self)
        guard request.url.hasPrefix("http://") || request.url.hasPrefix("https://") else {
            throw Problem(
                "url-invalid", status: 422, title: "The URL is not an http:// or https:// one",
                remedy: "A file on the server is added there with: hostler image add NAME FILE")
        }
        if let digest = request.sha256, digest.utf8.count != 64 || !digest.allSatisfy(\.isHexDigit) {
            throw Problem("sha256-invalid", status: 422, title: "sha256 is not 64 hex digits")
        }
        let reply = try await call.server.images.startImport(request.name, from: request.url, sha256: request.sha256)
        return try .json(reply, status: .accepted, headers: [.location: "/v1/images/\(reply.name.percentEncoded)"])
    }
}

struct ImageRequest: RequestBodyForm {
    static let fields = ["name", "url", "sha256"]
    var name: String
    var url: String
    var sha256: String?
}

extension String {
    /// For one part of a path or a query (RFC 3986 §2.3: all but the unreserved is escaped).
    public var percentEncoded: String {
        let plain = Set("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~".utf8)
        return utf8.map { byte in
            if plain.contains(byte) { return String(UnicodeScalar(byte)) }
            let hex = String(byte, radix: 16, uppercase: true)
            return "%" + (hex.count == 1 ? "0" : "") + hex
        }.joined()
    }
}
