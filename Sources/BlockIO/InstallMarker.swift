internal import Wire

/// Says which operation installed a disk: the last 4 KiB of the seed's partition.
///
/// An agent that boots later reads it to know that its work is done, even where the control plane's memory of it was
/// lost. Layout, integers big-endian: magic (16 bytes, `HOSTLER-INSTALL` and NUL), version (4), length of the payload
/// (4), CRC-32 of the payload (4), payload (JSON), zeros.
public struct InstallMarker: Hashable, Sendable {
    public static let byteCount = 4096
    static let magic = Array("HOSTLER-INSTALL\0".utf8)
    /// In the place of ``magic``: that of an installation which was put out of force.
    static let retiredMagic = Array("HOSTLER-RETIRED\0".utf8)
    static let version: UInt32 = 1
    private static let headerBytes = 28
    /// The longest payload in bytes: 4,068.
    public static let limitPayloadBytes = byteCount - headerBytes

    /// JSON text.
    public let payload: [UInt8]

    public init(payload: [UInt8]) throws(InstallMarkerError) {
        guard payload.count <= Self.limitPayloadBytes else { throw .tooLong(bytes: payload.count) }
        self.payload = payload
    }

    /// Exactly ``byteCount`` bytes.
    public func encoded() -> [UInt8] {
        var writer = ByteWriter(reservingCapacity: Self.byteCount)
        writer.write(Self.magic)
        writer.write(Self.version)
        writer.write(UInt32(payload.count))
        writer.write(CRC32.checksum(payload))
        writer.write(payload)
        writer.writeZeros(Self.byteCount - writer.count)
        return writer.bytes
    }

    public init(parsing bytes: [UInt8]) throws(InstallMarkerError) {
        do {
            var reader = ByteReader(bytes)
            guard bytes.count == Self.byteCount else { throw InstallMarkerError.truncated }
            guard try reader.read(Self.magic.count).elementsEqual(Self.magic) else { throw InstallMarkerError.noMarker }
            let version = try reader.readUInt32()
            guard version == Self.version else { throw InstallMarkerError.unsupportedVersion(version) }
            let length = try reader.readUInt32()
            guard length <= UInt32(Self.limitPayloadBytes) else { throw InstallMarkerError.tooLong(bytes: Int(length)) }
            let crc = try reader.readUInt32()
            payload = Array(try reader.read(Int(length)))
            guard CRC32.checksum(payload) == crc else { throw InstallMarkerError.checksum }
        } catch let error as InstallMarkerError {
            throw error
        } catch {
            throw .truncated
        }
    }
}

/// Why 4 KiB are not a marker.
public enum InstallMarkerError: Error, Equatable, Sendable {
    case noMarker
    case truncated
    case unsupportedVersion(UInt32)
    case tooLong(bytes: Int)
    case checksum
}
