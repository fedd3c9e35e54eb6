/// What differs on one BMC from what the specification says.
public struct Quirks: Sendable, Equatable {
    public var flags: Set<Flag>

    /// Each is one thing that the client does differently.
    public enum Flag: String, Sendable, CaseIterable {
        /// `BootSourceOverrideMode` must stand in every change of `Boot`, or it falls back to Legacy.
        case modeMustBeRepeated
        /// `BootSourceOverrideMode` may not be written.
        case modeReadOnly
        /// Taking an override away must not set the target to `None`.
        case disabledOverrideKeepsTarget
        /// Boot members are written to the `@Redfish.Settings` resource.
        case bootInSettings
        /// An override for one boot may be gone by the time of the start: it is looked at, and set again, right before.
        case overrideForgotten
        /// There may be no boot override at all; it is not tried where its members are missing.
        case overrideMayBeMissing
        /// The machine's firmware has no UEFI HTTP boot.
        case noHTTPBoot
        /// No `SessionService`: sessions are a collection of their own in the service root.
        case sessionsAtRoot
        /// The UEFI HTTP URI is a BIOS attribute (`HttpDev1Uri` and its enabling ones).
        case httpBootByDellBIOS
        /// The UEFI HTTP URI is the BIOS attribute `UrlBootFile`.
        case httpBootByHPEBIOS
        /// An `Image` that stays after ejection; such a slot counts as empty.
        case ejectedSlotKeepsImage
        /// InsertMedia takes only `Image`.
        case insertTakesImageOnly
        /// A PATCH without `If-Match` is refused.
        case ifMatchRequired
        /// `PowerState` lags behind the machine by many seconds: a request is not repeated for a minute.
        case powerStateLags
        /// Few sessions, never given back: use basic authentication.
        case sessionsScarce
        /// A resource's own `@odata.id` is not to be trusted.
        case selfLinkUnreliable
        /// `GracefulShutdown` answers OK and does nothing while no operating system runs: the operator is told so.
        case gracefulNeedsSystem
        /// `On` may be refused or lost right after `Off`: there is a pause between them.
        case onNeedsPause
        /// IPMI boot flags keep the device alone: not whether they are valid, last, or are for UEFI.
        case bootFlagsLost
        /// An override for one boot is kept, and read back, as one for all.
        case overrideAlwaysContinuous
        /// An override to `UefiHttp` reads back as a disc or network boot.
        case httpBootReadsDifferently
    }

    public init(_ flags: Set<Flag> = []) { self.flags = flags }
    public func has(_ flag: Flag) -> Bool { flags.contains(flag) }
    public static let none = Quirks()
}
