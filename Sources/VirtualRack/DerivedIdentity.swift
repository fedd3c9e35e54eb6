public import Wire

/// Identities that are the same each time a lab of the same name is built, so
/// that what people wrote down stays true. Not random and not secret.
public enum DerivedIdentity {
    /// `52:54:00:77:xx:yy`: QEMU's locally administered prefix and the lab's own.
    /// `attempt` moves on to the next where two machines would share one.
    public static func mac(lab: LabName, machine: String, nic: Int, attempt: Int = 0) -> MACAddress {
        let low = hash("mac/\(lab)/\(machine)/\(nic)") &+ UInt64(attempt)
        return MACAddress(value: 0x5254_0077_0000 | (low ^ low >> 32) & 0xffff)
    }

    /// An RFC 9562 UUID of version 8 (made by the application).
    public static func uuid(lab: LabName, machine: String) -> String {
        var high = hash("uuid-high/\(lab)/\(machine)")
        var low = hash("uuid-low/\(lab)/\(machine)")
        high = high & ~0xf000 | 0x8000
        low = low & ~(3 << 62) | 2 << 62
        let digits = hex(high) + hex(low)
        var text = ""
        for (index, digit) in digits.enumerated() {
            if [8, 12, 16, 20].contains(index) { text.append("-") }
            text.append(digit)
        }
        return text
    }

    /// Serial number of the machine, as SMBIOS type 1 shows it.
    public static func serial(lab: LabName, machine: String) -> String {
        "HL" + hex(hash("serial/\(lab)/\(machine)")).prefix(10).uppercased()
    }

    /// What stands on the label of the machine's BMC: 14 characters, not secret.
    public static func password(lab: LabName, machine: String) -> String {
        "bmc-" + hex(hash("password/\(lab)/\(machine)")).prefix(10)
    }

    /// Serial number of a disk: 13 to 14 characters (virtio-blk carries 20).
    public static func diskSerial(lab: LabName, machine: String, disk: Int) -> String {
        "D\(disk)" + hex(hash("disk/\(lab)/\(machine)/\(disk)")).prefix(11).uppercased()
    }

    /// 64-bit FNV-1a, with a final mix so that near names differ in all bits.
    private static func hash(_ text: String) -> UInt64 {
        var value: UInt64 = 0xcbf2_9ce4_8422_2325
        for byte in text.utf8 { value = (value ^ UInt64(byte)) &* 0x100_0000_01b3 }
        value = (value ^ value >> 33) &* 0xff51_afd7_ed55_8ccd
        return value ^ value >> 33
    }

    private static func hex(_ value: UInt64) -> String {
        Hex.encode(withUnsafeBytes(of: value.bigEndian) { Array($0) })
    }
}
