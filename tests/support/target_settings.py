"""The settings of a target collection that a load changes, as the server has them."""

from qmig.qdrant import messages as api
from qmig.qdrant.debt import Debt
from tests.support.ends import Ends


def target_config(ends: Ends) -> api.CollectionConfig:
    request = api.GetCollectionInfoRequest(collection_name=ends.target_name)
    return ends.target.call(ends.target.collections.Get, request).result.config


def indexing_threshold(ends: Ends) -> int:
    return target_config(ends).optimizer_config.indexing_threshold


def debt_of(ends: Ends) -> Debt:
    return Debt.of(api.CollectionInfo(config=target_config(ends)))


def is_final(ends: Ends) -> bool:
    """Whether the target has a vector index, and its metadata has nothing of qmig's."""
    return indexing_threshold(ends) > 0 and not debt_of(ends).keys
