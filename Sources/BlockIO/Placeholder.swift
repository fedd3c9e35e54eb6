enum BlockIOPlaceholder {}
