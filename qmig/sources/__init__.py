"""Where points come from: the protocol of a source, and one module or package for each kind."""
