internal import Consoles
internal import VirtualBMC

/// A lab machine's serial port as its BMC has it.
struct MachineConsole: BMCConsole {
    let machine: VirtualMachine

    func listen(_ hear: @escaping @Sendable ([UInt8]) -> Void) async {
        let (id, _, stream) = machine.console.follow()
        defer { machine.console.detach(id) }
        for await bytes in stream { hear(bytes) }
    }

    func type(_ bytes: [UInt8]) { machine.console.type(bytes) }
    func sendBreak() async { await machine.sendBreak() }
}
