enum NetBootPlaceholder {}
