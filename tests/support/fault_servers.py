"""Two servers that a test may kill, with a proxy before each."""

from dataclasses import dataclass

from tests.support.ends import Ends
from tests.support.qdrant_servers import Qdrant
from tests.support.tcp_proxy import Proxy


@dataclass(frozen=True)
class FaultServers:
    """The servers "source" and "target", which the tests start, and a proxy before each."""

    servers: dict[str, Qdrant]
    proxies: dict[str, Proxy]

    def restore(self) -> None:
        """Start both servers again, and let the proxies pass everything."""
        for role, server in self.servers.items():
            server.start()
            self.proxies[role].restore()


@dataclass(frozen=True)
class DisturbedEnds(Ends):
    """Ends that the test reaches directly, and the migration through `source_url` and `target_url`."""

    source_url: str
    target_url: str

    @property
    def arguments(self) -> list[str]:
        return self.through(self.source_url, self.target_url)
