extension QuirkTable {
    public static let rows: [Row] = dell + hpe + supermicro + lenovo + ami + open

    private static let ansible = "https://github.com/ansible-collections/community.general"

    private static let dell: [Row] = [
        Row(
            "iDRAC: UEFI HTTP boot by BIOS attribute", words: ["dell"], flags: [.httpBootByDellBIOS],
            note: "No Boot.HttpBootUri; the URI is the BIOS attribute HttpDev1Uri.",
            seenAt: "https://github.com/dsx-ai-factory/libredfish/pull/75"),
        Row(
            "iDRAC 10: Boot is read-only in the system", words: ["dell"], models: ["idrac10", "idrac 10"], flags: [.bootInSettings],
            note: "PATCH of Boot answers 400 “read-only”; the @Redfish.Settings resource takes it.",
            seenAt: "\(ansible)/issues/11297"),
        Row(
            "iDRAC 8: an override that answers 400 may still be set", words: ["dell"], models: ["idrac8", "idrac 8", "13g"],
            before: "3.0", flags: [.modeReadOnly],
            note: "A PATCH that names the mode answers 400 and changes half of it.", seenAt: "\(ansible)/issues/5091"),
        Row(
            "iDRAC 7 and 8: no SessionService", words: ["dell"], models: ["idrac7", "idrac 7", "12g", "idrac8", "idrac 8", "13g"],
            before: "3.0", flags: [.sessionsAtRoot],
            note: "SessionService answers 400; sessions are at /redfish/v1/Sessions. Seen with 2.65.65.65 (iDRAC 7) and 2.82.82.82 (iDRAC 8).",
            seenAt: "https://github.com/dell/iDRAC-Redfish-Scripting/pull/219"),
        Row(
            "iDRAC 7 and 8: machines without UEFI HTTP boot", words: ["dell"],
            models: ["idrac7", "idrac 7", "12g", "idrac8", "idrac 8", "13g"], before: "3.0", flags: [.noHTTPBoot],
            note: "HTTP boot came with the 14th generation; network boot is PXE alone.",
            seenAt: "https://github.com/dell/iDRAC-Redfish-Scripting/issues/19"),
        Row(
            "iDRAC: a machine stuck before its system does not shut down", words: ["dell"], flags: [.gracefulNeedsSystem],
            note: "GracefulShutdown is accepted and nothing follows while the machine hangs in a failed network boot.",
            seenAt: "https://github.com/ironcore-dev/metal-operator/pull/129"),
        Row(
            "iDRAC 9: boot override sometimes forgotten", words: ["dell"], models: ["idrac9", "idrac 9", "14g", "15g"],
            flags: [.overrideForgotten], note: "One-time boot is accepted and the machine boots from disk: read it back, look where it booted.",
            seenAt: "https://github.com/ironcore-dev/metal-operator/issues/80"),
        Row(
            "iDRAC 9 5.10.10: power on answers OK and does nothing", words: ["dell"], from: "5.10.10", before: "5.10.30",
            flags: [.onNeedsPause], note: "R640 and R650; put right in 5.10.30.00.",
            seenAt: "https://github.com/redhat-performance/jetlag/issues/245"),
    ]

    private static let hpe: [Row] = [
        Row(
            "iLO: the override's mode may not be written", words: ["hpe", "hewlett", "ilo"], flags: [.modeReadOnly],
            note: "A PATCH that names BootSourceOverrideMode answers 400.", seenAt: "\(ansible)/issues/3509"),
        Row(
            "iLO: no override is Disabled alone", words: ["hpe", "hewlett", "ilo"], flags: [.disabledOverrideKeepsTarget],
            note: "Disabled together with target None is refused.", seenAt: "https://github.com/ironcore-dev/metal-operator/pull/998"),
        Row(
            "iLO 5: the boot mode stays what the BIOS has", words: ["hpe", "hewlett", "ilo"], models: ["ilo 5", "ilo5"], flags: [.modeReadOnly],
            note: "The mode cannot be changed by Redfish: a machine in legacy mode must be set to UEFI in its own setup.",
            seenAt: "https://github.com/metal3-io/metal3-docs/pull/581"),
        Row(
            "iLO 6: UEFI HTTP boot by BIOS attribute", words: ["hpe", "ilo 6"], models: ["ilo 6", "ilo6"], flags: [.httpBootByHPEBIOS],
            note: "HttpBootUri answers PropertyNotWritableOrUnknown; the BIOS attribute UrlBootFile works.",
            seenAt: "https://github.com/dsx-ai-factory/libredfish/pull/76"),
        Row(
            "iLO 4: before the final schema", words: ["hpe", "hewlett", "ilo"], models: ["ilo 4", "ilo4"], flags: [.selfLinkUnreliable],
            note: "Older firmware speaks the legacy REST form, which HPE's own tools have a mode for.",
            seenAt: "https://servermanagementportal.ext.hpe.com/docs/redfishclients/ilorest-userguide/examplecommandsscripts.md"),
    ]

    private static let supermicro: [Row] = [
        Row(
            "Supermicro: the mode must be said each time", words: ["supermicro", "super micro"], flags: [.modeMustBeRepeated],
            note: "Without BootSourceOverrideMode in the PATCH it falls back to its default, Legacy.",
            seenAt: "https://github.com/DMTF/Redfishtool/pull/106"),
        Row(
            "Supermicro X12, X13, H13: an ejected slot keeps its image", words: ["supermicro", "super micro"], flags: [.ejectedSlotKeepsImage],
            note: "After EjectMedia, Image stays and ConnectedVia is NotConnected.", seenAt: "\(ansible)/pull/7470"),
        Row(
            "Supermicro X11: Once is not always once", words: ["supermicro", "super micro"], models: ["x11", "x10"], flags: [.overrideForgotten],
            note: "A one-time override to the virtual CD follows the boot order instead.",
            seenAt: "https://github.com/redhat-performance/jetlag/issues/18"),
        Row(
            "Supermicro X10: no override mode", words: ["supermicro", "super micro"], models: ["x10"], flags: [.modeReadOnly],
            note: "Its Redfish has no BootSourceOverrideMode; IPMI sets UEFI with the EFI flag.",
            seenAt: "https://github.com/gacybercenter/kinetic/issues/60"),
    ]

    private static let lenovo: [Row] = [
        Row(
            "Lenovo XCC: PATCH wants If-Match", words: ["lenovo"], flags: [.ifMatchRequired],
            note: "Newer firmware answers 412 unless the ETag of a fresh read is sent.", seenAt: "\(ansible)/issues/11261"),
        Row(
            "Lenovo with AMI firmware: precondition required", words: ["lenovo"], models: ["sr655", "sr635"], flags: [.ifMatchRequired],
            note: "Answers Ami.1.0.PreconditionHeaderMissing.", seenAt: "https://github.com/stmcginnis/gofish/issues/171"),
    ]

    private static let ami: [Row] = [
        Row(
            "AMI MegaRAC (ASRock Rack and others): boot in the future state", words: ["asrock", "ami", "american megatrends", "megarac"],
            flags: [.bootInSettings, .ifMatchRequired],
            note: "PATCH of Systems/Self answers OperationSupportedInFutureStateURI; Systems/Self/SD takes it, with If-Match.",
            seenAt: "https://github.com/DMTF/Redfish-Tacklebox/issues/144"),
        Row(
            "AMI MegaRAC: the same in another product", words: ["ami", "american megatrends", "megarac"], flags: [.bootInSettings],
            note: "Boot is in Systems/Self/SD.", seenAt: "https://github.com/DMTF/Redfish-Tacklebox/issues/111"),
    ]

    private static let open: [Row] = [
        Row(
            "OpenIPMI's ipmi_sim: boot flags", words: ["montavista"], flags: [.bootFlagsLost],
            note: "With a chassis-control script only the device is kept; parameter 5 reads as invalid.",
            seenAt: "https://manpages.debian.org/bookworm/openipmi/ipmi_lan.5.en.html"),
        Row(
            "sushy-emulator: overrides are continuous", words: ["sushy"], flags: [.overrideAlwaysContinuous, .httpBootReadsDifferently],
            note: "BootSourceOverrideEnabled is not taken; UefiHttp becomes Cd or Pxe.",
            seenAt: "https://opendev.org/openstack/sushy-tools/src/branch/master/sushy_tools/emulator/main.py"),
        Row(
            "OpenBMC: builds without a boot override", words: ["openbmc"], flags: [.overrideMayBeMissing],
            note: "Some builds have no BootSourceOverride members at all.",
            seenAt: "https://github.com/ibm-openbmc/bmcweb/pull/209"),
        Row(
            "BlueField BMC: slow after its own restart", words: ["bluefield", "nvidia", "mellanox"], models: ["bluefield", "bf-"],
            flags: [.powerStateLags],
            note: "The DPU is Systems/Bluefield. Half a minute after the BMC's restart nothing may be reset; IPMI knows PXE only.",
            seenAt: "https://docs.nvidia.com/networking/display/bluefieldbmcv2507/reset+control"),
    ]
}
