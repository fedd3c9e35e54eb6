internal import Model
public import OCI
internal import Wire

// Who may read an image's files: a machine that installs it now.
extension ControlPlane {
    /// The path of an image's file, with what opens it: good for this file while the installation is open.
    func path(of digest: Digest, for operation: OperationID) -> String {
        "/images/blobs/\(digest)/\(capability(digest, operation))"
    }

    /// Whether a capability, as it stands in the path, opens the file now.
    public func opens(_ capability: String, _ digest: Digest) -> Bool {
        guard let dot = capability.firstIndex(of: "."), let id = OperationID(rawValue: String(capability[..<dot])),
            let operation = snapshot.operations[id], operation.kind == .install, operation.state != .waiting, !operation.isDone(.restart)
        else { return false }
        return constantTimeEqual(capability, self.capability(digest, id))
    }

    private func capability(_ digest: Digest, _ operation: OperationID) -> String {
        "\(operation).\(Hex.encode(nonces.capability(operation: operation, file: digest.description)))"
    }
}
