/// What vendors leave in fields that nobody filled, and what they give to many boards alike. It identifies nothing.
///
/// One table for everything that asks who a machine is: the agent's SMBIOS, BMCs, the record. The values are those that
/// inventory systems, fwupd, systemd and provisioning systems have met; the rules catch their kinds.
public enum Filler {
    // MARK: Text

    /// Whether a text field has what stands there where nobody wrote anything.
    public static func isFiller(text: some StringProtocol) -> Bool {
        let plain = plain(text)
        if plain.isEmpty || phrases.contains(plain) || prefixes.contains(where: plain.hasPrefix) { return true }
        return plain.utf8.count >= 8 && run(in: plain) == plain.utf8.count
    }

    /// Whether a serial number or asset tag can tell one machine from another.
    public static func identifies(serial: some StringProtocol) -> Bool {
        let plain = plain(serial)
        // Shorter ones are a slot's number, a revision, "n/a" in some language.
        guard plain.utf8.count >= 4, Set(plain).count > 2, !isFiller(text: serial), !serials.contains(plain) else { return false }
        if words.contains(where: plain.contains) { return false }
        let bare = plain.hasPrefix("0x") ? plain.dropFirst(2) : plain[...]
        // "CN0000000000": one character, and a letter or two before it.
        let commonest = Dictionary(bare.map { ($0, 1) }, uniquingKeysWith: +).values.max() ?? 0
        if commonest >= 6, bare.count - commonest <= 2 { return false }
        if countsInPairs(bare) { return false }
        if serialPrefixes.contains(where: { plain.hasPrefix($0) && Set(plain.dropFirst($0.count)).count <= 1 }) { return false }
        // "SYS-1234567890", "01234567890123456789AB": mostly counting.
        let run = run(in: plain)
        if run == plain.utf8.count || run >= 8 { return false }
        return run < 5 || run * 10 < plain.utf8.count * 6
    }

    /// How serial numbers are compared: letters and digits in lower case.
    public static func plain(_ text: some StringProtocol) -> String { text.lowercased().filter { $0.isLetter || $0.isNumber } }

    /// The longest run of characters that count up or down, `9` going on with `0`.
    private static func run(in plain: String) -> Int {
        let codes = Array(plain.utf8)
        var (longest, up, down) = (min(1, codes.count), 1, 1)
        for (last, next) in zip(codes, codes.dropFirst()) {
            let wraps = (last == UInt8(ascii: "9") && next == UInt8(ascii: "0"), last == UInt8(ascii: "0") && next == UInt8(ascii: "9"))
            up = Int(next) == Int(last) + 1 || wraps.0 ? up + 1 : 1
            down = Int(next) == Int(last) - 1 || wraps.1 ? down + 1 : 1
            longest = max(longest, up, down)
        }
        return longest
    }

    /// `112233445566`
    private static func countsInPairs(_ plain: Substring) -> Bool {
        let codes = Array(plain.utf8)
        guard codes.count >= 6, codes.count.isMultiple(of: 2) else { return false }
        let pairs = stride(from: 0, to: codes.count, by: 2).map { (codes[$0], codes[$0 + 1]) }
        guard pairs.allSatisfy({ $0.0 == $0.1 }) else { return false }
        return run(in: String(decoding: pairs.map(\.0), as: UTF8.self)) == pairs.count
    }

    /// No serial number has them in it; a sentence about one does.
    private static let words = [
        "serial", "sernum", "byoem", "default", "filled", "specified", "defined", "provided", "unknown", "available", "number", "pleasefill",
    ]

    /// In plain form.
    private static let phrases: Set<String> = [
        "na", "nil", "none", "null", "nullstring", "nothing", "empty", "invalid", "undefined", "unspecified", "unavailable", "unassigned",
        "notspecified", "notavailable", "notapplicable", "notprovided", "notpresent", "notset", "notdefined", "notassigned",
        "notsettable", "nodimm", "nomoduleinstalled", "noassettag", "noassetinformation", "noenclosureinfo", "fillbyoem", "filledbyoem",
        "oem", "oemstring", "oemserial", "oemdefaultstring", "string", "sku", "systemsku", "systemmanufacturer", "systemproductname",
        "systemname", "productname", "systemversion", "systemserialnumber", "systemserialnumb", "systemserial", "sysserialnumber",
        "baseboardserialnumber", "baseboardserial", "boardserialnumber", "boardserial", "mainboardserialnumber",
        "motherboardserialnumber", "type2boardserialnumber", "chassisserialnumber", "chassisserial", "chassisversion",
        "chassismanufacturer", "enclosureserialnumber", "productserialnumber", "productserial", "dimmserialnumber", "serialnumber",
        "serialno", "serial", "partnumber", "assettag", "systemassettag", "chassisassettag", "baseboardassettag", "boardassettag",
        "assettagnumber", "sernum0", "sernum1", "partnum0", "manufacturer0", "badindex", "outofspec", "tbd", "tobedetermined",
        // Inherited from lists of what DIMMs and boards say.
        "01234567", "12345678", "xxxxxxx",
    ]
    private static let prefixes = ["tobefilled", "tobeset", "default", "unknown", "unknow"]
    private static let serials: Set<String> = [
        "eval", "iatpass", "standard", "sample", "dummy", "test", "tulipcomputers", "sn123456fvgv3i0b8o5n6n7k", "5ekpm18320000397",
        "serialnumberxxxxxx", "missing", "reserved", "emptystring", "nodata",
        "bios", "intel", "changeme", "deadbeef", "cafebabe", "abcd1234", "asset1234567890", "0123456789ab", "qemu", "virtual",
    ]
    /// What may stand before one repeated character.
    private static let serialPrefixes = ["serialnumber", "serial", "sn", "sys", "mb", "bsn", "csn", "msn", "ssn", "atn", "asset"]

    // MARK: UUIDs

    /// Whether a system's UUID can tell one machine from another. Text that is no UUID cannot.
    public static func identifies(uuid text: some StringProtocol) -> Bool { SystemUUID(text).map { identifies(uuid: $0) } ?? false }

    public static func identifies(uuid: SystemUUID) -> Bool {
        !uuids.contains(uuid) && !uuid.orders.contains { isPattern($0) || isMadeOfMAC($0) || hasEvenGroups($0) }
    }

    /// Few values, a repetition, or counting: nobody's random number, nor a time and a MAC address.
    private static func isPattern(_ bytes: [UInt8]) -> Bool {
        if Set(bytes).count <= 2 { return true }
        for period in [4, 8] where bytes.indices.allSatisfy({ bytes[$0] == bytes[$0 % period] }) { return true }
        func counts(_ values: [Int], modulus: Int) -> Bool {
            let steps = zip(values, values.dropFirst()).map { ($1 - $0 + modulus) % modulus }
            let usual = Dictionary(steps.map { ($0, 1) }, uniquingKeysWith: +).max { $0.value < $1.value }
            return usual.map { $0.key != 0 && $0.value * 4 >= steps.count * 3 } ?? false
        }
        let digits = bytes.flatMap { [Int($0 >> 4), Int($0 & 15)] }
        return counts(bytes.map(Int.init), modulus: 256) || counts(digits, modulus: 16)
            || digits.allSatisfy { $0 < 10 } && counts(digits, modulus: 10)
    }

    /// A MAC address and nothing else: it says no more than that address, which may be on every board.
    private static func isMadeOfMAC(_ bytes: [UInt8]) -> Bool {
        for blank in [UInt8(0), 0xff] where bytes[..<10].allSatisfy({ $0 == blank }) || bytes[6...].allSatisfy({ $0 == blank }) { return true }
        // AMI's filler, 00 02 00 03 00 04 … 00 09, with an address in the place of the first zeros, or with none.
        let marks: [(Int, UInt8)] = [(1, 2), (3, 3), (5, 4), (7, 5), (9, 6), (11, 7), (12, 0), (13, 8), (14, 0), (15, 9)]
        return marks.allSatisfy { bytes[$0.0] == $0.1 }
    }

    /// `11111111-2222-3333-4444-555555555555`, `01010101-0202-0303-0404-050505050505`
    private static func hasEvenGroups(_ bytes: [UInt8]) -> Bool {
        [0..<4, 4..<6, 6..<8, 8..<10, 10..<16].allSatisfy { group in
            bytes[group].allSatisfy { $0 == bytes[group.lowerBound] }
        }
    }

    private static let uuids: Set<SystemUUID> = Set(
        [
            "03000200-0400-0500-0006-000700080009", "00020003-0004-0005-0006-000700080009", "6ab5b300-538d-1014-9fb5-b0684d007b53",
            "12345678-1234-5678-90ab-cddeefaabbcc", "12345678-1234-5678-1234-567812345678", "12345678-90ab-cdef-1234-567890abcdef",
            // A Dell board without a service tag.
            "44454c4c-0000-1020-8020-80c04f202020", "44454c4c-2000-1020-8020-a0c04f202020",
            // In the sources of reference firmware, and so on every board that was built from it.
            "8a95d198-7f46-11e5-bf8b-08002704d48e",
        ].compactMap { SystemUUID($0) })

    // MARK: MAC addresses

    /// Whether an address that somebody names can tell one machine from another: one that a vendor gave to one port alone.
    ///
    /// Locally administered ones do not. Host software makes them up, and BMCs give the same to the host's side of their link.
    public static func identifies(mac: MACAddress) -> Bool { isPossible(mac) && !mac.isLocallyAdministered }

    /// Whether an address can be one port's at all. Of one that the wire showed this is enough.
    public static func isPossible(_ mac: MACAddress) -> Bool {
        guard !mac.isMulticast, mac.value != 0, !isHostInterface(mac), !macs.contains(mac.value) else { return false }
        // VMware's ports between a host and its guests.
        if mac.value >> 8 == 0x0050_56c0_00 { return false }
        let steps = zip(mac.bytes, mac.bytes.dropFirst()).map { $1 &- $0 }
        return Set(mac.bytes).count > 2 && Set(steps).count > 1
    }

    /// Whether it is the address of a link between a host and its own BMC, the same on all boards of a vendor.
    public static func isHostInterface(_ mac: MACAddress) -> Bool {
        // Supermicro: be:… at the one end, b0:… at the other.
        mac.value & 0xff_ffff_ffff == 0x3a_f2b6_059f
    }

    /// Linux' drivers of network cards that a BMC shows its host by USB.
    public static let hostInterfaceDrivers: Set<String> = ["cdc_ether", "cdc_eem", "cdc_ncm", "cdc_subset", "rndis_host"]

    private static let macs: Set<UInt64> = [
        // Dial-up and tunnel adapters, modems, and USB adapters whose memory is blank.
        0x2041_5359_4eff, 0x24b6_2052_4153, 0x5050_5450_3030, 0x3350_6f45_3030, 0x00a0_c600_0000, 0x000b_cafe_0000, 0x00e0_4c53_4458,
        0x0200_4e43_5049, 0xe2e6_1620_0a35, 0xd20a_2da0_04be, 0xd26b_252f_2ce7, 0x0a00_2700_0000, 0x0280_37ec_0200, 0xfeff_ffff_ffff,
    ]
}
