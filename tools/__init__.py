"""The project's automation; not part of the package."""
