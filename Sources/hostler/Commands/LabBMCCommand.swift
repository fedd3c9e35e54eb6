internal import ArgumentParser
internal import VirtualRack

/// `hostler lab bmc`: the BMCs of a lab's machines.
struct LabBMCCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "bmc", abstract: "The BMCs of the lab's machines: where they are and how to log in.",
        subcommands: [List.self, Simulate.self], defaultSubcommand: List.self)

    struct List: AsyncParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Show address, account and certificate of each machine’s BMC.",
            discussion: "They answer in the lab’s network namespace: ip netns exec hostler-lab curl …, and by IPMI at the same address.")

        @OptionGroup var choice: LabCommand.Choice

        func run() async throws {
            for machine in try await choice.client().status().machines {
                guard let bmc = machine.bmc else { continue }
                print("\(machine.spec.name) \(bmc.url) \(bmc.user) \(bmc.password) \(bmc.certificate)")
            }
        }
    }
}
