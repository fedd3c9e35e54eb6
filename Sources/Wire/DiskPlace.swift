/// Where a disk is, seen from the machine that shows it.
///
/// Only what is inside the machine is wiped, or installed on, without being named: other disks may be somebody else's too.
public enum DiskPlace: String, Codable, Sendable, CaseIterable {
    /// On a controller of the machine itself, with no fabric and no shelf between.
    case inside
    /// On USB or FireWire: in the machine until somebody pulls it.
    case external
    case iscsi
    case fibreChannel = "fibre-channel"
    /// SCSI over RDMA.
    case srp
    /// NVMe over TCP, RDMA or Fibre Channel.
    case nvmeFabric = "nvme-fabric"
    /// Behind a SAS expander: a shelf that other hosts may be wired to as well, or a backplane that looks the same.
    case enclosure
    /// A logical unit of a SAS disk array.
    case array
    /// Reached by more than one path, as only disks are that can be shared.
    case severalPaths = "several-paths"
    /// Made by the kernel of something else, as loop, NBD and RBD.
    case software
    case unclear
}
