internal import VirtualBMC

/// A lab machine's serial port as its BMC has it.
struct MachineConsole: BMCConsole {
    let machine: VirtualMachine

    func output() -> AsyncStream<[UInt8]> { machine.console.attach(withPast: false).stream }
    func type(_ bytes: [UInt8]) { machine.console.type(bytes) }
    func sendBreak() async { await machine.sendBreak() }
}
