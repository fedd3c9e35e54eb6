/// Random loss as a traffic-control filter: a classic BPF program draws a
/// number for each frame and sends the unlucky ones to a bridge without
/// ports. `sch_netem` would do it too, but not every kernel has it, and it
/// works in one direction only.
enum PacketLoss {
    /// Program for `tc … bpf bytecode`: matches `percent` (1 to 100) of all frames.
    ///
    /// `ld rand; jge T, pass; ret match; pass: ret 0`. The offset is
    /// SKF_AD_OFF + SKF_AD_RANDOM (linux/filter.h).
    static func bytecode(percent: Int) -> String {
        guard percent < 100 else { return "1,6 0 0 4294967295" }
        let threshold = UInt64(UInt32.max) * UInt64(max(0, percent)) / 100
        return "4,32 0 0 4294963256,53 1 0 \(threshold),6 0 0 4294967295,6 0 0 0"
    }

    /// Arguments of the `tc` calls that set it on an interface which has no `clsact` yet.
    static func set(on interface: String, percent: Int) -> [[String]] {
        [["qdisc", "add", "dev", interface, "clsact"]]
            + ["ingress", "egress"].map { direction in
                [
                    "filter", "add", "dev", interface, direction, "protocol", "all", "prio", "1", "bpf",
                    "bytecode", bytecode(percent: percent), "action", "mirred", "egress", "redirect",
                    "dev", RackNetwork.sink,
                ]
            }
    }

    static func clear(on interface: String) -> [String] { ["qdisc", "del", "dev", interface, "clsact"] }
}
