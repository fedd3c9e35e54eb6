public import ArgumentParser
public import VirtualRack
internal import Wire

/// `hostler lab`: a rack of virtual machines to learn on.
struct LabCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "lab", abstract: "A private rack of virtual machines: learn by breaking what costs nothing.",
        subcommands: [
            Up.self, Down.self, Run.self, Status.self, Power.self, Console.self, FaultCommand.self, Add.self,
            Remove.self, LabBMCCommand.self,
        ])

    /// Which lab.
    struct Choice: ParsableArguments {
        @Option(help: "The lab's name.")
        var name = LabName.standard

        @Option(help: "Where labs keep their files.")
        var stateDir = LabPaths.defaultStateDirectory

        func lab() throws -> LabName { try LabName(name) }
        func client() throws -> LabClient { try LabClient(lab: lab(), stateDirectory: stateDir) }
    }

    /// The server's address.
    struct Network: ParsableArguments {
        @Option(help: "The server's address in the rack's network, with the prefix length.")
        var prefix = "10.77.0.1/24"

        func server() throws -> IPv4Prefix {
            guard let server = IPv4Prefix(prefix), server.length <= 30 else {
                throw ValidationError("--prefix must be ADDRESS/LENGTH, as 10.77.0.1/24")
            }
            return server
        }
    }

    struct Up: AsyncParsableCommand {
        static let configuration = CommandConfiguration(abstract: "Build the rack and switch it on.")

        @OptionGroup var choice: Choice
        @OptionGroup var network: Network

        @Option(help: "How many machines.")
        var machines = 3

        @Option(help: "How many of them are UEFI; the last ones.")
        var uefi = 1

        @Flag(help: "Leave the machines switched off.")
        var noPowerOn = false

        func run() async throws {
            let lab = try choice.lab()
            let client = try await LabLauncher.up(
                executable: LabLauncher.thisExecutable, lab: lab, server: network.server(),
                stateDirectory: choice.stateDir)
            let status = try await client.fill(lab: lab, machines: machines, uefi: uefi, powerOn: !noPowerOn)
            print(LabTable.text(status))
        }
    }

    struct Down: AsyncParsableCommand {
        static let configuration = CommandConfiguration(abstract: "Remove the rack with every trace.")

        @OptionGroup var choice: Choice

        func run() async throws {
            let left = try await LabLauncher.down(lab: choice.lab(), stateDirectory: choice.stateDir)
            guard left.isEmpty else {
                for trace in left { print("left: \(trace)") }
                throw ExitCode.failure
            }
            print("lab \(choice.name) is gone")
        }
    }

    struct Run: AsyncParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Run the lab process in the foreground; `up` starts it in the background.")

        @OptionGroup var choice: Choice
        @OptionGroup var network: Network

        func run() async throws {
            try await LabServer.run(lab: choice.lab(), server: network.server(), stateDirectory: choice.stateDir)
        }
    }

    struct Status: AsyncParsableCommand {
        static let configuration = CommandConfiguration(abstract: "Show machines, power, evidence and faults.")

        @OptionGroup var choice: Choice

        func run() async throws { print(LabTable.text(try await choice.client().status())) }
    }

    struct Power: AsyncParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Switch a machine: on, off, cut (the plug), cycle, reset, button (ACPI).")

        @OptionGroup var choice: Choice
        @Argument var machine: String
        @Argument(help: "\(PowerAction.allCases.map(\.rawValue).joined(separator: ", "))")
        var action: PowerAction

        func run() async throws {
            let status = try await choice.client().power(action, machine: machine)
            print("\(machine): \(status.power.state.rawValue) (\(status.power.evidence))")
        }
    }

    struct Console: AsyncParsableCommand {
        static let configuration = CommandConfiguration(abstract: "Sit at a machine's serial console; Ctrl-] leaves.")

        @OptionGroup var choice: Choice
        @Argument var machine: String

        func run() async throws {
            try ConsoleSession.attach(socketPath: choice.client().socketPath, machine: machine)
        }
    }

    struct Add: AsyncParsableCommand {
        static let configuration = CommandConfiguration(abstract: "Add a machine, switched off.")

        @OptionGroup var choice: Choice
        @Argument var machine: String
        @Option var firmware = VirtualMachineSpec.Firmware.bios
        @Option(name: .customLong("boot")) var bootOrder = VirtualMachineSpec.BootOrder.networkFirst
        @Option var cpus = 2
        @Option(help: "MiB.") var memory = 1024
        @Option var nics = 1
        @Option var nicModel = VirtualNIC.Model.virtio
        @Option(help: "Kind and GiB, as virtio:8, or virtio:8:4k for sectors of 4096 bytes; give it again for more disks.")
        var disk = ["virtio:8"]

        func run() async throws {
            let lab = try choice.lab()
            let disks = try disk.enumerated().map { index, text in
                guard let disk = VirtualDisk(kindAndGiB: text, lab: lab, machine: machine, index: index) else {
                    throw ValidationError(
                        "--disk must be virtio, nvme, sata or scsi, a colon, GiB, and :4k for sectors of 4096 bytes (not with sata)")
                }
                return disk
            }
            let spec = VirtualMachineSpec(
                name: machine, lab: lab, firmware: firmware, boot: bootOrder, cpus: cpus, memoryMiB: memory,
                nicCount: nics, nicModel: nicModel, disks: disks)
            try await choice.client().add(spec)
            print("\(machine) is in the rack, switched off")
        }
    }

    struct Remove: AsyncParsableCommand {
        static let configuration = CommandConfiguration(abstract: "Take a machine out, with its disks.")

        @OptionGroup var choice: Choice
        @Argument var machine: String

        func run() async throws { try await choice.client().remove(machine) }
    }

    struct FaultCommand: AsyncParsableCommand {
        static let configuration = CommandConfiguration(
            commandName: "fault", abstract: "Break something on purpose, or mend it.",
            subcommands: [Inject.self, Clear.self])

        struct Inject: AsyncParsableCommand {
            static let configuration = CommandConfiguration(
                abstract: "Break it.", discussion: "Faults: \(Fault.kinds.joined(separator: ", ")). See docs/lab.md.")

            @OptionGroup var choice: Choice
            @Argument(help: "As packet-loss=20, link-down, slow-disk=1000000, partition.") var fault: String
            @Argument(help: "Not for partition.") var machine: String?

            func run() async throws { try await choice.client().inject(Fault(fault), machine: machine) }
        }

        struct Clear: AsyncParsableCommand {
            static let configuration = CommandConfiguration(abstract: "Mend a fault, or all of them.")

            @OptionGroup var choice: Choice
            @Option(help: "The machine; none for the whole lab.") var machine: String?
            @Argument(help: "None for all faults.") var fault: String?

            func run() async throws {
                try await choice.client().clear(fault.map { try Fault($0) }, machine: machine)
            }
        }
    }
}

extension PowerAction: ExpressibleByArgument {}
extension VirtualMachineSpec.Firmware: ExpressibleByArgument {}
extension VirtualMachineSpec.BootOrder: ExpressibleByArgument {}
extension VirtualNIC.Model: ExpressibleByArgument {}
