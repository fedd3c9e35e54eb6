enum VirtualRackPlaceholder {}
