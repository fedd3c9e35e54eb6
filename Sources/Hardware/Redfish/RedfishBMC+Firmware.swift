internal import Model

/// Changes of settings and firmware: virtual media, BIOS, Secure Boot, updates.
extension RedfishBMC {
    // MARK: Virtual media (DSP0268 VirtualMedia)

    /// Inserts an image by URL into the slot that takes CDs, and reads back that it is there.
    public func insertMedia(_ url: String) async throws {
        let slot = try await mediaSlot()
        guard let path = slot.link else { throw mediaMissing }
        if slot["Inserted"]?.flag == true, slot["Image"]?.text != url { try await ejectMedia() }
        let full: JSON = ["Image": .string(url), "Inserted": true, "WriteProtected": true]
        let plain: JSON = ["Image": .string(url)]
        if let target = slot["Actions"]?["#VirtualMedia.InsertMedia"]?["target"]?.text.flatMap({ RedfishPath($0) }) {
            do {
                try await client.post(target, client.quirks.has(.insertTakesImageOnly) ? plain : full)
            } catch let problem as Problem where problem.code == "bmc-refused" {
                try await client.post(target, plain)
            }
        } else {
            // Before 2019 there was no action: the members are written.
            try await client.patch(path, ["Image": .string(url), "Inserted": true], etag: slot["@odata.etag"]?.text)
        }
        let after = try await client.get(path).json
        guard after["Inserted"]?.flag != false, after["Image"]?.text != nil || after["ImageName"]?.text != nil else {
            throw Problem.bmc(
                "media-not-proved", "The BMC at \(address) said OK to the virtual medium and does not have it",
                detail: "\(path): no image is inserted", remedy: "Can the BMC reach \(url)? Some fetch it only at once, some want a licence.")
        }
    }

    /// Takes the image out and reads back that it is.
    public func ejectMedia() async throws {
        let slot = try await mediaSlot()
        guard let path = slot.link else { throw mediaMissing }
        if let target = slot["Actions"]?["#VirtualMedia.EjectMedia"]?["target"]?.text.flatMap({ RedfishPath($0) }) {
            try await client.post(target, [:])
        } else {
            try await client.patch(path, ["Image": nil, "Inserted": false], etag: slot["@odata.etag"]?.text)
        }
        let after = try await client.get(path).json
        let isEmpty = after["Inserted"]?.flag != true || client.quirks.has(.ejectedSlotKeepsImage) && after["ConnectedVia"]?.text == "NotConnected"
        guard isEmpty else {
            throw Problem.bmc("media-not-proved", "The BMC at \(address) said OK and still has the virtual medium", detail: "\(path)")
        }
    }

    private var mediaMissing: Problem { .bmcUnsupported("hold virtual media", "\(address) has no slot that takes a CD") }

    private func mediaSlot() async throws -> JSON {
        let system = try await system()
        var places = [system.virtualMedia].compactMap(\.self)
        for path in system.controllers.prefix(2) {
            if let link = try await client.get(path).json["VirtualMedia"]?.link { places.append(link) }
        }
        for place in places {
            let slots = try await client.resources(of: place, limit: 16)
            let takesDiscs = slots.first { slot in
                (slot["MediaTypes"]?.items ?? []).compactMap(\.text).contains { ["CD", "DVD"].contains($0.uppercased()) }
            }
            if let slot = takesDiscs ?? slots.first { return slot }
        }
        throw mediaMissing
    }

    // MARK: BIOS

    /// The attributes as they are now.
    public func biosAttributes() async throws -> [String: JSON] {
        guard let path = try await system().bios else { throw Problem.bmcUnsupported("read BIOS settings", "\(address) has no Bios resource") }
        return try await client.get(path).json["Attributes"]?.members ?? [:]
    }

    /// Stages attributes for the next start of the machine.
    public func stageBIOS(_ attributes: [String: JSON]) async throws {
        var attributes = attributes
        try await stageBIOS(&attributes, system())
    }

    func stageBIOS(_ attributes: inout [String: JSON], _ system: ComputerSystem) async throws {
        guard let path = system.bios else { throw Problem.bmcUnsupported("change BIOS settings", "\(address) has no Bios resource") }
        let bios = try await client.get(path).json
        let known = bios["Attributes"]?.members ?? [:]
        if let unknown = attributes.keys.sorted().first(where: { known[$0] == nil }), !known.isEmpty {
            throw Problem.bmc(
                "bios-attribute-unknown", status: 422, "This BIOS has no attribute “\(unknown)”",
                detail: "it has \(known.count) others", remedy: "Names differ by vendor and model.")
        }
        let place = bios["@Redfish.Settings"]?["SettingsObject"]?.link ?? path.appending("Settings")
        try await client.patch(place, ["Attributes": .object(attributes)])
        let staged = try await client.get(place).json["Attributes"]?.members ?? [:]
        for (name, value) in attributes where staged[name] != nil && staged[name] != value {
            throw Problem.bmc(
                "bios-not-proved", "The BMC at \(address) said OK and did not stage \(name)",
                detail: "it has \(String(decoding: (staged[name] ?? .null).encoded.prefix(80), as: UTF8.self))")
        }
    }

    // MARK: Secure Boot

    public func secureBoot() async throws -> Bool {
        guard let path = try await system().secureBoot else { throw Problem.bmcUnsupported("tell of Secure Boot", "it has no SecureBoot resource") }
        let json = try await client.get(path).json
        return json["SecureBootEnable"]?.flag ?? (json["SecureBootCurrentBoot"]?.text == "Enabled")
    }

    /// Takes effect at the next start of the machine.
    public func setSecureBoot(_ enabled: Bool) async throws {
        guard let path = try await system().secureBoot else { throw Problem.bmcUnsupported("switch Secure Boot", "it has no SecureBoot resource") }
        try await client.patch(path, ["SecureBootEnable": .bool(enabled)])
        guard try await secureBoot() == enabled else {
            throw Problem.bmc("secure-boot-not-proved", "The BMC at \(address) said OK and did not switch Secure Boot")
        }
    }

    // MARK: Firmware (DSP0268 UpdateService)

    /// Has the BMC fetch firmware from a URL, and waits for its task.
    public func updateFirmware(
        from url: String, targets: [String] = [], deadline: Duration = .seconds(3600), progress: @Sendable (TaskProgress) -> Void = { _ in }
    ) async throws {
        let service = try await updateService()
        let action = service["Actions"]?["#UpdateService.SimpleUpdate"]
        guard let target = action?["target"]?.text.flatMap({ RedfishPath($0) }) else {
            throw Problem.bmcUnsupported("fetch firmware by itself", "it has no SimpleUpdate")
        }
        var body: [String: JSON] = ["ImageURI": .string(url)]
        let scheme = url.prefix { $0 != ":" }.uppercased()
        let allowed = action?["TransferProtocol@Redfish.AllowableValues"]?.items.compactMap(\.text) ?? []
        if allowed.contains(scheme) { body["TransferProtocol"] = .string(scheme) }
        if !targets.isEmpty { body["Targets"] = .array(targets.map { .string($0) }) }
        try await client.post(target, .object(body), deadline: deadline, progress: progress)
    }

    /// Pushes a firmware file (DSP0266 §12.6.2, multipart), and waits for the BMC's task.
    public func pushFirmware(
        _ file: [UInt8], name: String, targets: [String] = [], deadline: Duration = .seconds(3600),
        progress: @Sendable (TaskProgress) -> Void = { _ in }
    ) async throws {
        guard let path = try await updateService()["MultipartHttpPushUri"]?.text.flatMap({ RedfishPath($0) }) else {
            throw Problem.bmcUnsupported("take pushed firmware", "it has no MultipartHttpPushUri")
        }
        let parameters: JSON = ["Targets": .array(targets.map { .string($0) })]
        var request = RedfishRequest(.post, path)
        request.body = MultipartPush(parameters: parameters, file: file, fileName: name).body
        request.timeout = .seconds(600)
        _ = try await client.finished(client.send(request), deadline: deadline, progress: progress)
    }

    private func updateService() async throws -> JSON {
        guard let path = try await client.serviceRoot().updates else {
            throw Problem.bmcUnsupported("update firmware", "\(address) has no UpdateService")
        }
        return try await client.get(path).json
    }
}

/// A multipart push of an update (DSP0266 §12.6.2, RFC 7578).
public struct MultipartPush {
    var parameters: JSON
    var file: [UInt8]
    var fileName: String

    /// What a file's name may be made of, as it stands in a header.
    public static func isPlain(_ scalar: Unicode.Scalar) -> Bool {
        switch scalar {
        case "a"..."z", "A"..."Z", "0"..."9", ".", "_", "-": true
        default: false
        }
    }

    var body: RedfishRequest.Body {
        let boundary = boundary
        let safeName = String(String.UnicodeScalarView(fileName.unicodeScalars.filter(Self.isPlain)))
        var bytes = Array("--\(boundary)\r\nContent-Disposition: form-data; name=\"UpdateParameters\"\r\nContent-Type: application/json\r\n\r\n".utf8)
        bytes += parameters.encoded
        bytes += Array(
            "\r\n--\(boundary)\r\nContent-Disposition: form-data; name=\"UpdateFile\"; filename=\"\(safeName)\"\r\nContent-Type: application/octet-stream\r\n\r\n"
                .utf8)
        bytes += file
        bytes += Array("\r\n--\(boundary)--\r\n".utf8)
        return .bytes(bytes, contentType: "multipart/form-data; boundary=\(boundary)")
    }

    /// Made of the file's size and a checksum, so that a request is the same each time; a file that holds it gets another.
    private var boundary: String {
        var sum: UInt64 = 0xcbf2_9ce4_8422_2325
        for byte in file.prefix(1 << 16) { sum = (sum ^ UInt64(byte)) &* 0x100_0000_01b3 }
        while true {
            let candidate = "hostler-\(file.count)-\(String(sum, radix: 16))"
            if file.firstRange(of: Array(candidate.utf8)) == nil { return candidate }
            sum &+= 1
        }
    }
}
