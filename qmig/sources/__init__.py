"""Sources of points: their protocol, the registry of their kinds, and one module or package for each kind."""
