/// Files by the directories that they are in.
struct FATFolder {
    private var files: [FATVolume.File] = []
    private var folders: [(name: String, folder: FATFolder)] = []

    init(_ all: [FATVolume.File]) {
        for file in all {
            guard let slash = file.name.firstIndex(of: "/") else {
                files.append(file)
                continue
            }
            let name = String(file.name[..<slash])
            guard !folders.contains(where: { $0.name == name }) else { continue }
            let inside = all.filter { $0.name.hasPrefix(name + "/") }.map {
                FATVolume.File(name: String($0.name.dropFirst(name.count + 1)), contents: $0.contents)
            }
            folders.append((name, FATFolder(inside)))
        }
    }

    /// Stores all of it, and adds its entries to `directory`, which begins at `cluster`.
    func store(in directory: inout FATDirectory, at cluster: UInt32, by writer: inout FATWriter) throws(FATError) {
        for file in files {
            let first = try writer.append(file.contents)
            try directory.add(name: file.name, firstCluster: first, byteCount: UInt32(file.contents.count))
        }
        for (name, folder) in folders {
            // Its entries name clusters that come after its own: first the room, then the entries.
            let own = try writer.append(Array(repeating: 0, count: try folder.entryBytes()))
            var inside = FATDirectory()
            inside.addDots(own: own, parent: cluster)
            try folder.store(in: &inside, at: own, by: &writer)
            writer.replace(own, by: inside.bytes)
            try directory.add(name: name, firstCluster: own, byteCount: 0, isDirectory: true)
        }
    }

    private func entryBytes() throws(FATError) -> Int {
        var directory = FATDirectory()
        directory.addDots(own: 0, parent: 0)
        for file in files { try directory.add(name: file.name, firstCluster: 0, byteCount: 0) }
        for (name, _) in folders { try directory.add(name: name, firstCluster: 0, byteCount: 0, isDirectory: true) }
        // An entry of zeros ends the directory, where its last cluster has room for one.
        return directory.bytes.count
    }
}
