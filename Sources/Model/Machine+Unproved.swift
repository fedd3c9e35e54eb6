extension Machine {
    /// The system that an installation has put on its disk, whether or not it has proved itself.
    public var systemOnDisk: Installation? { installed ?? unproved }

    /// What a person can do about a system that an installation has put on the disk and that has not proved itself.
    public var adviceOnUnproved: String {
        """
        Its system may run, and it calls home until Hostler has acknowledged it. Look at its console: hostler machine console \(id); \
        log in: hostler machine ssh \(id); have it call home at once: sudo systemctl restart hostler-call-home. \
        Where it is not wanted, release what holds the machine, then: hostler machine install \(id) … or hostler machine wipe \(id).
        """
    }
}
