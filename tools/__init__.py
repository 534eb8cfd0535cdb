"""What the project's own automation runs; no part of the package."""
