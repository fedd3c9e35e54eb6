import CLinux
import Foundation
import Model
import Testing

@testable import Images

/// Programs that a foreign image has taken over: what they can still do.
@Suite("The sandbox of foreign images")
struct SandboxTests {
    private func run(
        _ code: String, in workshop: Workshop, memoryBytes: UInt64 = 2 << 30, fileBytes: UInt64 = 1 << 20, processorSeconds: UInt32 = 10,
        seconds: Int = 30
    ) async throws -> SandboxedProgram.Result {
        try await SandboxedProgram(name: "python3.11", package: "python3").run(
            ["-I", "-S", "-c", code], readable: [workshop.path + "/in"], writable: [workshop.path + "/out"],
            limits: .init(
                memoryBytes: memoryBytes, fileBytes: fileBytes, processorSeconds: processorSeconds,
                bounds: ImportBounds(limit: .seconds(seconds), folder: workshop.path, reserveBytes: 0)))
    }

    private func workshop() throws -> Workshop {
        let workshop = try Workshop()
        for name in ["in", "out", "secret"] { _ = try workshop.write(Array(name.utf8), name) }
        return workshop
    }

    @Test("leaves the input to read and the output to write, threads, and nothing else")
    func files() async throws {
        let workshop = try workshop()
        let attempts = """
            import os, threading
            folder = \(Self.quoted(workshop.path))
            def attempt(name, body):
                try: print(name, 'done', body() or '')
                except OSError as error: print(name, 'refused')
            attempt('read input', lambda: open(folder + '/in').read())
            attempt('write output', lambda: open(folder + '/out', 'r+').write('x') and None)
            attempt('truncate output', lambda: os.truncate(folder + '/out', 4096))
            attempt('thread', lambda: threading.Thread(target=int).start())
            attempt('write input', lambda: open(folder + '/in', 'r+'))
            attempt('read secret', lambda: open(folder + '/secret').read())
            attempt('read shadow', lambda: open('/etc/shadow').read())
            attempt('read passwd', lambda: open('/etc/passwd').read())
            attempt('read memory', lambda: open('/proc/%d/mem' % os.getppid(), 'rb').read(1))
            attempt('list', lambda: os.listdir(folder))
            attempt('make', lambda: open(folder + '/new', 'w'))
            attempt('remove', lambda: os.unlink(folder + '/out'))
            attempt('link', lambda: os.link(folder + '/in', folder + '/linked'))
            attempt('mode', lambda: os.chmod(folder + '/out', 0o4777))
            attempt('descriptor', lambda: os.read(3, 1))
            """
        let result = try await run(attempts, in: workshop)
        let expected = """
            read input done in
            write output done\u{20}
            truncate output done\u{20}
            thread done\u{20}
            write input refused
            read secret refused
            read shadow refused
            read passwd refused
            read memory refused
            list refused
            make refused
            remove refused
            link refused
            mode refused
            descriptor refused

            """
        // Without Landlock only what needs a capability or another user is refused: docs/security-hardening.md.
        try #require(clinux_landlock_abi() > 0, "this kernel has no Landlock")
        #expect(result.output == expected, "\(result.errors)")
    }

    @Test("has no sockets, no processes, no signals to others, no capabilities")
    func calls() async throws {
        let attempts = """
            import ctypes, os, signal, socket
            libc = ctypes.CDLL(None, use_errno=True)
            def attempt(name, body):
                try: print(name, 'done', body())
                except OSError as error: print(name, 'refused')
            for family in (socket.AF_UNIX, socket.AF_INET, socket.AF_INET6, socket.AF_NETLINK, socket.AF_PACKET, socket.AF_ALG, socket.AF_VSOCK):
                attempt('socket', lambda: socket.socket(family, socket.SOCK_DGRAM))
            attempt('socketpair', socket.socketpair)
            attempt('fork', os.fork)
            attempt('kill', lambda: os.kill(os.getppid(), 0))
            attempt('run', lambda: os.posix_spawn('/bin/true', ['true'], {}))
            def call(number, *arguments):
                if libc.syscall(number, *arguments) < 0: raise OSError(ctypes.get_errno())
            attempt('limits of another', lambda: call(302, os.getppid(), 7, 0, 0))
            attempt('ring', lambda: call(425, 1, 0))
            attempt('namespace', lambda: call(272, 0x10000000))
            attempt('debug', lambda: call(101, 16, os.getppid(), 0, 0))
            buffer = (ctypes.c_uint32 * 6)()
            header = (ctypes.c_uint32 * 2)(0x20080522, 0)
            call(125, header, buffer)
            print('capabilities', list(buffer))
            print('privileges', libc.prctl(39, 0, 0, 0, 0), 'filter', libc.prctl(21, 0, 0, 0, 0))
            """
        let result = try await run(attempts, in: try workshop())
        let refused =
            Array(repeating: "socket refused", count: 7) + [
                "socketpair refused", "fork refused", "kill refused", "run refused", "limits of another refused", "ring refused",
                "namespace refused", "debug refused", "capabilities [0, 0, 0, 0, 0, 0]", "privileges 1 filter 2", "",
            ]
        #expect(result.output == refused.joined(separator: "\n"), "\(result.errors)")
    }

    @Test("has limits of memory, of what is written, of processor time, of words and of time")
    func limits() async throws {
        let workshop = try workshop()
        let greedy = try await run("x = bytearray(400 << 20)", in: workshop, memoryBytes: 200 << 20)
        #expect(greedy.errors.contains("MemoryError"))
        let large = try await run("open(\(Self.quoted(workshop.path + "/out")), 'r+b').write(bytes(8 << 20))", in: workshop)
        #expect(!large.ending.isSuccess)
        #expect(try FileManager.default.attributesOfItem(atPath: workshop.path + "/out")[.size] as? Int ?? 0 <= 1 << 20)
        let busy = try await run("while True: pass", in: workshop, processorSeconds: 1)
        #expect(busy.ending == .signaled(SIGXCPU) || busy.ending == .signaled(SIGKILL))
        let silent = await #expect(throws: Problem.self) {
            try await run("import threading; threading.Event().wait()", in: workshop, seconds: 1)
        }
        #expect(silent?.code == "image-import-too-long")
        let chatty = await #expect(throws: Problem.self) { try await run("while True: print('x' * 4096)", in: workshop) }
        #expect(chatty?.code == "image-refused")
    }

    private static func quoted(_ text: String) -> String { "'" + text.replacingOccurrences(of: "'", with: "\\'") + "'" }
}
