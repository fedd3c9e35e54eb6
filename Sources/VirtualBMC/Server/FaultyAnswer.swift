/// What a BMC says that should not.
enum FaultyAnswer {
    static let page = RedfishResponse(
        status: 200, headers: [.init("Content-Type", "text/html")],
        body: Array(
            """
            <!DOCTYPE html><html><head><title>Login</title></head>
            <body><h1>Remote Management</h1><form><input name="user"><input name="password"></form></body></html>

            """.utf8))

    /// The same resource with an array that has no end.
    static func huge(_ body: [UInt8], atLeast bytes: Int) -> [UInt8] {
        guard body.last == UInt8(ascii: "}") else { return body }
        var output = Array(body.dropLast())
        output.reserveCapacity(bytes + 1024)
        output += #","Padding":[0"#.utf8
        while output.count < bytes { output += ",1111111111111111".utf8 }
        return output + "]}".utf8
    }
}
