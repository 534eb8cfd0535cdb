"""Create the target collection, and put it into the state in which it is loaded.

What it is owed for that is in its metadata from the same request on, and in the ledger before.
"""

from collections.abc import Callable

from qmig.coordinator.preflight import PreflightResult
from qmig.errors import TerminalError
from qmig.ledger.records import MigrationRecord
from qmig.qdrant import messages as api
from qmig.qdrant.collection import collection_info
from qmig.qdrant.create import CHANGE_TIMEOUT, create_request, finish_request, loading_request
from qmig.qdrant.debt import FINAL_SETTINGS, Debt, Load, add_entries, encode_settings, read_debt
from qmig.qdrant.payload import to_payload
from qmig.qdrant.schema_diff import differences as target_differences

#: Attempts to switch the index off. Another migration that ends at the same moment may remove the entries.
MAX_ATTEMPTS = 3

#: Records a change of the migration: `change(record, **changes)` returns the changed record.
Change = Callable[..., MigrationRecord]


class TargetLoad:
    """The load of one migration into its target."""

    def __init__(self, preflight: PreflightResult, record: MigrationRecord, change: Change) -> None:
        self._preflight = preflight
        self._server = preflight.target
        self._name = record.definition.target.collection
        self._record = record
        self._change = change

    def create(self) -> bool:
        """Create the target with the source's settings; False where another migration was faster."""
        request = create_request(self._preflight.source_info, self._name)
        add_entries(request, self._load(created=True).entry(self._record.migration))
        try:
            self._server.call(self._server.collections.Create, request)
        except TerminalError:
            # The collection exists if only the answer was lost, or if another migration has created it.
            found = collection_info(self._server, self._name)
            if found is None or target_differences(self._preflight.source_info, found):
                raise
            return self._is_creator(found)
        return True

    def begin(self) -> MigrationRecord:
        """Switch the vector index of a created target off. Name the load in a target that another one has begun.

        Return the record, which has the final settings of a created target. May be called again.
        """
        info = collection_info(self._server, self._name)
        if info is None:
            return self._record
        debt = Debt.of(info)
        entry = self._load(self._record.created_target).entry(self._record.migration)
        if not self._record.created_target:
            if debt.keys and self._record.migration not in debt.loads:
                request = api.UpdateCollection(collection_name=self._name, timeout=CHANGE_TIMEOUT)
                add_entries(request, entry)
                self._server.call(self._server.collections.Update, request)
            return self._record
        final_settings = self._final_settings(info, debt)
        if final_settings != self._record.final_settings:
            # Recorded first: a server before 1.16 keeps no metadata.
            self._record = self._change(self._record, final_settings=final_settings)
        request = loading_request(info, self._name)
        add_entries(request, {**entry, **to_payload({FINAL_SETTINGS: final_settings})})
        self._switch_off(request)
        return self._record

    def _load(self, created: bool) -> Load:
        return Load(self._record.definition.target.ledger, created)

    def _is_creator(self, found: api.CollectionInfo) -> bool:
        """Whether this migration has created the collection that exists."""
        load = Debt.of(found).loads.get(self._record.migration)
        if load is not None:
            return load.created
        if Debt.of(found).keys:
            return False
        # A server before 1.16 tells nothing: the ledger knows which migration has created the collection.
        return not any(
            other.created_target and other.definition.target.collection == self._name
            for other in self._preflight.ledger.migrations()
            if other.migration != self._record.migration
        )

    def _final_settings(self, info: api.CollectionInfo, debt: Debt) -> str:
        """The request that puts the target into its final state, as text: the one that it is owed already, if any."""
        if debt.final_settings is not None:
            return debt.final_settings
        is_off = info.config.optimizer_config.indexing_threshold == 0
        if is_off and self._record.final_settings is not None:
            return self._record.final_settings
        return encode_settings(finish_request(info, self._preflight.source_info, self._name))

    def _switch_off(self, request: api.UpdateCollection) -> None:
        for _ in range(MAX_ATTEMPTS):
            self._server.call(self._server.collections.Update, request)
            debt = read_debt(self._server, self._name)
            if debt is None or debt.final_settings is not None or not debt.keys:
                # No entry at all: the server keeps no metadata.
                return
