/// What to do with a packet that came to the server's well-known port.
public enum TFTPAdmission: Equatable, Sendable {
    case read(TFTPRequest, TFTPPath)
    /// Answer with an ERROR packet.
    case refuse(TFTPErrorCode, message: String)
    /// Not a request: a stray of some transfer that is over. An answer could start a loop.
    case ignore

    public init(_ packet: TFTPPacket) {
        switch packet {
        case .readRequest(let request):
            guard request.mode == .octet else {
                // Boot files are binary: netascii would change their bytes.
                self = .refuse(.illegalOperation, message: "netascii is not served: ask for octet (binary) mode")
                return
            }
            do throws(TFTPPathError) {
                self = .read(request, try TFTPPath(request.fileName))
            } catch {
                self = .refuse(.accessViolation, message: error.description)
            }
        case .writeRequest: self = .refuse(.accessViolation, message: "this server is read-only")
        case .data, .acknowledgement, .error, .optionAcknowledgement: self = .ignore
        }
    }
}
