"""What a collection is owed, as its metadata has it."""

from typing import Any

import pytest

from qmig.qdrant import messages as api
from qmig.qdrant.debt import FINAL_SETTINGS, LOAD, Debt, Load, decode_settings, encode_settings, settled
from qmig.qdrant.payload import from_payload, to_payload

MIGRATION = "6f1b9c52-98a5-5a36-9f0b-64a1d2a0c6d1"


def info_with(metadata: dict[str, Any], threshold: int = 0) -> api.CollectionInfo:
    config = api.CollectionConfig(metadata=to_payload(metadata))
    config.optimizer_config.indexing_threshold = threshold
    return api.CollectionInfo(config=config)


def final_settings(threshold: int = 20_000) -> str:
    request = api.UpdateCollection(collection_name="before")
    request.optimizers_config.indexing_threshold = threshold
    request.strict_mode_config.enabled = True
    return encode_settings(request)


def test_entries_are_read_as_they_were_written() -> None:
    load = Load("ledger", created=True)
    info = info_with({FINAL_SETTINGS: final_settings(), "owner": "search team"})
    for key, value in load.entry(MIGRATION).items():
        info.config.metadata[key].CopyFrom(value)
    assert Debt.of(info) == Debt(final_settings(), {MIGRATION: load})


@pytest.mark.parametrize("value", [None, "", "not base64!", "AAAA", 7, {"a": 1}, ["b"]])
def test_final_settings_that_are_not_qmigs_are_none(value: object) -> None:
    assert Debt.of(info_with({FINAL_SETTINGS: value})) == Debt()


@pytest.mark.parametrize("value", [None, "text", 7, ["b"]])
def test_a_load_that_is_not_qmigs_is_none(value: object) -> None:
    assert Debt.of(info_with({f"{LOAD}{MIGRATION}": value})) == Debt()


def test_the_settings_are_for_the_name_that_the_collection_has_now() -> None:
    request = decode_settings(final_settings(), "after")
    assert request is not None
    assert request.collection_name == "after"


def test_settled_are_the_settings_when_the_debt_is_paid_without_qmigs_entries() -> None:
    load = {"ledger": "ledger", "created": True}
    info = info_with({FINAL_SETTINGS: final_settings(), f"{LOAD}{MIGRATION}": load, "owner": "search team"})

    after = settled(info)

    assert after.config.optimizer_config.indexing_threshold == 20_000
    assert after.config.strict_mode_config.enabled
    assert from_payload(after.config.metadata) == {"owner": "search team"}
    assert info.config.optimizer_config.indexing_threshold == 0
