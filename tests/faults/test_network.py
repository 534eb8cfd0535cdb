"""What networks do to connections, with a proxy before each server."""

from collections.abc import Callable

import pytest

from tests.faults.conftest import DisturbedEnds, Stand
from tests.faults.proxy import Proxy
from tests.migrating import SLOWLY, arrived, finish, start, until, until_copied

ROLES = ["source", "target"]


def proxy_of(stand: Stand, role: str) -> Proxy:
    return stand.source_proxy if role == "source" else stand.target_proxy


def migrate_through(stand: Stand, ends: DisturbedEnds, role: str, fault: Callable[[Proxy], None]) -> None:
    """A migration in whose middle `fault` happens to the connections with one end."""
    running = start(ends, *SLOWLY, "--workers", "2")
    until_copied(ends, 500)
    fault(proxy_of(stand, role))
    finish(running)
    assert arrived(ends)


@pytest.mark.parametrize("role", ROLES)
def test_server_that_answers_slowly(disturbed: DisturbedEnds, stand: Stand, role: str) -> None:
    migrate_through(stand, disturbed, role, lambda proxy: proxy.delay(0.05))


@pytest.mark.parametrize("role", ROLES)
def test_line_that_carries_little(disturbed: DisturbedEnds, stand: Stand, role: str) -> None:
    migrate_through(stand, disturbed, role, lambda proxy: proxy.throttle(100_000))


@pytest.mark.parametrize("role", ROLES)
def test_connections_that_are_reset_again_and_again(disturbed: DisturbedEnds, stand: Stand, role: str) -> None:
    def reset(proxy: Proxy) -> None:
        for points in (1000, 2000, 3000):
            proxy.reset()
            until_copied(disturbed, points)

    migrate_through(stand, disturbed, role, reset)


@pytest.mark.parametrize("role", ROLES)
def test_server_that_refuses_connections_for_a_while(disturbed: DisturbedEnds, stand: Stand, role: str) -> None:
    running = start(disturbed, *SLOWLY, "--workers", "2")
    until_copied(disturbed, 500)
    proxy_of(stand, role).refuse()
    until(lambda: f"{role} {proxy_of(stand, role).url}" in running.read_stderr(), "word of it")
    proxy_of(stand, role).mend()
    finish(running)
    assert arrived(disturbed)
