"""Who an owner is: alive as long as its process, whatever becomes of the machine's clock."""

import multiprocessing
from typing import Any

import psutil
import pytest

from qmig.ledger.owner import new_owner, owner_is_dead
from tests.support.waiting import PATIENCE


def owner_of_a_process(told: Any) -> None:
    told.put(new_owner())


@pytest.mark.skipif(not psutil.LINUX, reason="elsewhere the system keeps the time itself")
def test_a_clock_that_is_set_kills_no_owner(monkeypatch: pytest.MonkeyPatch) -> None:
    """Linux tells when a process began by the time of the boot, which moves with the clock."""
    owner = new_owner()
    right = psutil.boot_time()
    monkeypatch.setattr("psutil._pslinux.boot_time", lambda: right + 3600)
    assert not owner_is_dead(owner)


def test_an_owner_whose_process_ended_is_dead() -> None:
    context = multiprocessing.get_context("spawn")
    told = context.Queue()
    process = context.Process(target=owner_of_a_process, args=(told,))
    process.start()
    owner = told.get(timeout=PATIENCE)
    process.join()
    assert owner_is_dead(owner)


def test_another_process_with_the_same_number_is_another_owner() -> None:
    host, pid, started, machine, unique = new_owner().split("/")
    assert owner_is_dead("/".join([host, pid, f"1{started}", machine, unique]))
    assert not owner_is_dead("/".join(["elsewhere", pid, f"1{started}", machine, unique]))
