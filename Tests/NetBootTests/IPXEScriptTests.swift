import NetBoot
import Testing

@Suite("iPXE scripts")
struct IPXEScriptTests {
    private let retry = "http://10.77.0.1:8080/boot/m-7f3k2q"

    @Test("the agent is fetched and started; whatever fails is tried again")
    func agent() throws {
        let script = try IPXEScript.agent(
            kernelURL: "http://10.77.0.1/vmlinuz", initrdURLs: ["http://10.77.0.1/a.img", "http://10.77.0.1/b.img"],
            commandLine: "console=ttyS0 hostler.url=http://10.77.0.1:8080", onFailure: .retry(url: retry)
        ).render()
        #expect(
            script == """
                #!ipxe
                echo Hostler: loading the agent
                imgfree ||
                kernel --name hostler-kernel http://10.77.0.1/vmlinuz console=ttyS0 hostler.url=http://10.77.0.1:8080 \
                initrd=hostler0.img initrd=hostler1.img || goto retry
                initrd --name hostler0.img http://10.77.0.1/a.img || goto retry
                initrd --name hostler1.img http://10.77.0.1/b.img || goto retry
                boot || goto retry
                :retry
                echo Hostler: trying again in 5 s
                sleep 5 ||
                imgfree ||
                chain --replace --autofree http://10.77.0.1:8080/boot/m-7f3k2q || goto retry

                """)
    }

    @Test(
        "a machine that nobody knows goes on with its own boot order as soon as anything fails",
        arguments: [(IPXEScript.Platform.bios, 0), (.efi, 1)])
    func strangersAgent(platform: IPXEScript.Platform, status: Int) throws {
        let lines = try IPXEScript.agent(
            kernelURL: "http://10.77.0.1/vmlinuz", initrdURLs: ["http://10.77.0.1/a.img"], commandLine: "quiet", onFailure: .leave(platform)
        ).render().split(separator: "\n")
        for command in ["kernel ", "initrd ", "boot "] {
            #expect(lines.filter { $0.hasPrefix(command) && $0.hasSuffix(" || goto leave") }.count == 1, "\(command)")
        }
        let end = try #require(lines.firstIndex(of: ":leave"))
        #expect(lines[end...].last == "exit \(status)")
        for word in ["retry", "sleep", "chain"] { #expect(!lines.contains { $0.contains(word) }, "\(word)") }
    }

    @Test("the local disk is left to the BIOS by a boot, to UEFI by a failure")
    func localDisk() throws {
        #expect(try IPXEScript.localDisk(.bios).render().contains("\nsanboot --no-describe --drive 0x80 || exit 0\n"))
        #expect(try IPXEScript.diskLoader(loaderURL: "http://10.0.0.1/a.efi").render().contains("\nchain http://10.0.0.1/a.efi || exit 1\n"))
        #expect(try IPXEScript.localDisk(.efi).render().hasSuffix("\nexit 1\n"))
    }

    @Test("the disk with the marker is looked for; where a fetch fails no other disk is started, and the server is asked again")
    func markedDisk() throws {
        let script = try IPXEScript.markedDisk(
            programURL: "http://10.0.0.1/a.0", missingURL: "http://10.0.0.1/s?missing=00", retryURL: retry
        ).render()
        let only = try IPXEScript.markedDisk(
            programURL: "http://10.0.0.1/a.0", missingURL: "http://10.0.0.1/s?missing=00", retryURL: nil
        ).render()
        #expect(only.contains("goto only") && !only.contains("retry") && only.hasSuffix(":only\nsanboot --no-describe --drive 0x80 || exit 0\n"))
        #expect(
            script == """
                #!ipxe
                echo Hostler: looking for the disk with the system of this machine
                imgfree ||
                imgfetch --name local-disk http://10.0.0.1/a.0 || goto retry
                imgexec local-disk ||
                imgfree ||
                chain --replace --autofree http://10.0.0.1/s?missing=00 || goto retry
                :retry
                echo Hostler: trying again in 5 s
                sleep 5 ||
                imgfree ||
                chain --replace --autofree http://10.77.0.1:8080/boot/m-7f3k2q || goto retry

                """)
        #expect(!script.contains("sanboot") && !script.contains("exit"))
        #expect(!script.contains("'"), "iPXE takes it for a quote")
    }

    @Test("a refusal says why, waits and asks again")
    func refusal() throws {
        let script = try IPXEScript.refuse(reason: "held: disk failed", retryURL: retry, seconds: 30).render()
        #expect(script.contains("\necho Hostler: held: disk failed\n:retry\n"))
        #expect(script.contains("\nsleep 30 ||\n"))
        #expect(script.hasSuffix("chain --replace --autofree \(retry) || goto retry\n"))
    }

    @Test(
        "no text can become a command, a variable or a comment",
        arguments: [
            "a\nshell", "a\rshell", "${net0/mac}", "a && shell", "a || shell", "a ; shell", "a # rest", "a\u{0}", "é",
            "\"", "a\\", "'",
            "\u{1b}[2J",
        ])
    func injection(text: String) {
        #expect(throws: IPXEScriptError.self) {
            try IPXEScript.refuse(reason: text, retryURL: retry, seconds: 1).render()
        }
        #expect(throws: IPXEScriptError.self) {
            try IPXEScript.refuse(reason: "a", retryURL: "http://h/" + text, seconds: 1).render()
        }
        #expect(throws: IPXEScriptError.self) {
            try IPXEScript.agent(kernelURL: retry, initrdURLs: [retry], commandLine: text, onFailure: .retry(url: retry)).render()
        }
        #expect(throws: Never.self) {
            try IPXEScript.refuse(reason: IPXEScript.printable(text), retryURL: retry, seconds: 1).render()
        }
    }

    @Test(
        "a URL is one word with a scheme that iPXE has",
        arguments: ["", "http://", "ftp://h/a", "/boot", "http://h/a b", "shell"])
    func urls(text: String) {
        #expect(throws: IPXEScriptError.badURL(text)) {
            try IPXEScript.refuse(reason: "a", retryURL: text, seconds: 1).render()
        }
    }

    @Test("a command line longer than the kernel takes is an error")
    func longCommandLine() {
        let long = String(repeating: "a", count: 1901)
        #expect(throws: IPXEScriptError.tooLong(bytes: 1901, limit: 1900)) {
            try IPXEScript.agent(kernelURL: retry, initrdURLs: [], commandLine: long, onFailure: .retry(url: retry)).render()
        }
    }
}
