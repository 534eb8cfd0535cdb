"""A source collection, a target collection and a ledger, by their names and servers."""

from dataclasses import dataclass

from qmig.qdrant.server import Server


@dataclass(frozen=True)
class Ends:
    """A collection's name in the source, one in the target, and a ledger's: all gone after the test."""

    source: Server
    target: Server
    source_name: str
    target_name: str
    ledger: str

    @property
    def arguments(self) -> list[str]:
        """What every call of `qmig qdrant` between them says."""
        return self.through()

    def through(self, source: str | None = None, target: str | None = None) -> list[str]:
        """The same by way of these URLs, such as those of proxies."""
        return [
            "--source-url", source or self.source.endpoint.url, "--source-collection", self.source_name,
            "--target-url", target or self.target.endpoint.url, "--target-collection", self.target_name,
            "--migration-offsets-collection-name", self.ledger,
        ]  # fmt: skip

    @property
    def where(self) -> list[str]:
        """Where the ledger is, as the other commands are told."""
        return ["--target-url", self.target.endpoint.url, "--migration-offsets-collection-name", self.ledger]
