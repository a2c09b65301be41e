"""One module per subject; each figure is a function registered by its name."""
