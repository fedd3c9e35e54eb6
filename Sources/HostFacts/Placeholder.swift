enum HostFactsPlaceholder {}
