/// How a disk's faults become nodes in QEMU's block graph: between the disk's
/// raw node and its file stand, as wanted, a `blkdebug` (errors) and a
/// `throttle` (speed). The raw node is then reopened onto the topmost.
struct DiskFaults: Hashable, Sendable {
    var failsAll = false
    var failsWrites = false
    var bytesPerSecond: Int64?

    init(_ faults: some Sequence<Fault>, serial: String) {
        for fault in faults {
            switch fault {
            case .diskError(serial): failsAll = true
            case .diskFull(serial): failsWrites = true
            case .slowDisk(serial, let rate): bytesPerSecond = rate
            default: break
            }
        }
    }

    struct Step: Hashable, Sendable {
        let command: String
        let arguments: JSONValue
    }

    /// The steps that build the chain on `disk`, and those that remove it once
    /// the raw node no longer uses it. `generation` makes names unique.
    func plan(disk: Int, generation: Int) -> (build: [Step], remove: [Step]) {
        var build: [Step] = []
        var remove: [Step] = []
        var top = QEMUCommand.fileNode(disk)
        if failsAll || failsWrites {
            let name = "disk\(disk)-errors\(generation)"
            build.append(
                Step(
                    command: "blockdev-add",
                    arguments: [
                        "driver": "blkdebug", "node-name": .string(name), "image": .string(top),
                        "inject-error": failsAll
                            // Not "flush": QEMU flushes before it changes the graph, and could never be mended.
                            ? [error(5, on: "read"), error(5, on: "write"), error(5, on: "write-zeroes")]
                            : [error(28, on: "write"), error(28, on: "write-zeroes")],
                    ]))
            remove.insert(Step(command: "blockdev-del", arguments: ["node-name": .string(name)]), at: 0)
            top = name
        }
        if let bytesPerSecond {
            let name = "disk\(disk)-slow\(generation)"
            let group = name + "-group"
            build.append(
                Step(
                    command: "object-add",
                    arguments: [
                        "qom-type": "throttle-group", "id": .string(group),
                        "limits": ["bps-total": .integer(bytesPerSecond)],
                    ]))
            build.append(
                Step(
                    command: "blockdev-add",
                    arguments: [
                        "driver": "throttle", "node-name": .string(name), "throttle-group": .string(group),
                        "file": .string(top),
                    ]))
            remove.insert(Step(command: "object-del", arguments: ["id": .string(group)]), at: 0)
            remove.insert(Step(command: "blockdev-del", arguments: ["node-name": .string(name)]), at: 0)
            top = name
        }
        build.append(
            Step(
                command: "blockdev-reopen",
                arguments: [
                    "options": [
                        [
                            "driver": "raw", "node-name": .string(QEMUCommand.formatNode(disk)), "file": .string(top),
                            "discard": "unmap",
                        ]
                    ]
                ]))
        return (build, remove)
    }

    private func error(_ number: Int64, on kind: String) -> JSONValue {
        // Event "none": the rule holds for every request, whatever QEMU is doing.
        ["event": "none", "iotype": .string(kind), "errno": .integer(number), "once": false]
    }
}
