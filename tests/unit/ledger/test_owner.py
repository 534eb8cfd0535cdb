"""An owner is alive as long as its process, whatever happens to the machine's clock."""

import multiprocessing
from dataclasses import replace
from typing import Any

import psutil
import pytest

from qmig.ledger.owner import Owner
from tests.support.waiting import PATIENCE


def owner_of_a_process(told: Any) -> None:
    told.put(str(Owner.new()))


@pytest.mark.skipif(not psutil.LINUX, reason="elsewhere the system keeps the time itself")
def test_a_clock_that_is_set_kills_no_owner(monkeypatch: pytest.MonkeyPatch) -> None:
    """Linux tells when a process began by the time of the boot, which moves with the clock."""
    owner = Owner.new()
    right = psutil.boot_time()
    monkeypatch.setattr("psutil._pslinux.boot_time", lambda: right + 3600)
    assert not owner.is_dead


def test_an_owner_whose_process_ended_is_dead() -> None:
    context = multiprocessing.get_context("spawn")
    told = context.Queue()
    process = context.Process(target=owner_of_a_process, args=(told,))
    process.start()
    owner = told.get(timeout=PATIENCE)
    process.join()
    assert Owner.parse(owner).is_dead


def test_another_process_with_the_same_number_is_another_owner() -> None:
    owner = Owner.new()
    assert not owner.is_dead
    assert replace(owner, started=f"1{owner.started}").is_dead
    assert not replace(owner, host="elsewhere", started=f"1{owner.started}").is_dead
    assert replace(owner, pid=10**19).is_dead


def test_an_owner_is_read_as_it_was_written() -> None:
    owner = Owner.new()
    assert Owner.parse(str(owner)) == owner
    assert owner.worker == f"{owner.host}/{owner.pid}"
    assert Owner.new() != owner


@pytest.mark.parametrize(
    "text", ["", "host", "host/1/2/3", "host/1/2/3/4/5", "host/x/2/3/4", "/1/2/3/4", "h/1/2/3/4\n/"]
)
def test_what_names_no_owner_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="not an owner"):
        Owner.parse(text)
