"""A source collection, a target collection and a ledger, by their names and servers."""

from dataclasses import dataclass

from qmig.qdrant.server import Server


@dataclass(frozen=True)
class Ends:
    """The names of a source collection, a target collection and a ledger, which are deleted after the test."""

    source: Server
    target: Server
    source_name: str
    target_name: str
    ledger: str

    @property
    def arguments(self) -> list[str]:
        """The arguments of `qmig qdrant` for these ends."""
        return self.through()

    def through(self, source: str | None = None, target: str | None = None) -> list[str]:
        """The same arguments with other URLs, such as those of proxies."""
        return [
            "--source-url", source or self.source.endpoint.url, "--source-collection", self.source_name,
            "--target-url", target or self.target.endpoint.url, "--target-collection", self.target_name,
            "--migration-offsets-collection-name", self.ledger,
        ]  # fmt: skip

    @property
    def where(self) -> list[str]:
        """The options that name the ledger, for the other commands."""
        return ["--target-url", self.target.endpoint.url, "--migration-offsets-collection-name", self.ledger]
