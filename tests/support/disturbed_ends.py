"""Ends whose servers may be killed, with a proxy before each."""

from dataclasses import dataclass

from tests.support.ends import Ends
from tests.support.qdrant_servers import Qdrant
from tests.support.tcp_proxy import Proxy


@dataclass(frozen=True)
class Stand:
    """Two servers of the tests' own, "source" and "target", and a proxy before each."""

    servers: dict[str, Qdrant]
    proxies: dict[str, Proxy]

    def mend(self) -> None:
        """Everything runs again, and nothing stands in the way."""
        for role, server in self.servers.items():
            server.start()
            self.proxies[role].mend()


@dataclass(frozen=True)
class DisturbedEnds(Ends):
    """Ends that the test itself reaches straight, and the migration by way of `source_url` and `target_url`."""

    source_url: str
    target_url: str

    @property
    def arguments(self) -> list[str]:
        return self.through(self.source_url, self.target_url)
