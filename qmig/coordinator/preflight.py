"""Check source, target and ledger before anything is written."""

from dataclasses import dataclass, field

from qmig.coordinator.resolve import check_resumed
from qmig.coordinator.unfinished import is_created_by, source_warnings, target_notices_of_loads
from qmig.errors import TerminalError, UsageError
from qmig.ledger.ledger import Ledger
from qmig.ledger.records import MigrationRecord, State
from qmig.migration import Migration, Routing
from qmig.qdrant import messages as api
from qmig.qdrant.collection import close_names, collection_info, collection_names, is_custom
from qmig.qdrant.debt import settled
from qmig.qdrant.lossy import requantized_notices
from qmig.qdrant.payload_indexes import check_index_types, index_notices
from qmig.qdrant.payload_indexes import missing_indexes as target_missing_indexes
from qmig.qdrant.replication import replication_notices
from qmig.qdrant.schema_diff import differences as target_differences
from qmig.qdrant.schema_diff import notices as target_notices
from qmig.qdrant.schema_diff import throttles as target_throttles
from qmig.qdrant.server import Server, server_version
from qmig.qdrant.shard_keys import ShardKeyPlacement, check_shard_keys_possible
from qmig.qdrant.versions import check_versions
from qmig.sources.base import Source


@dataclass(frozen=True)
class RunOptions:
    """Options of one run that are not part of the migration's definition."""

    #: Create the target collection if it does not exist.
    create_target: bool = False
    #: Create payload indexes that an existing target lacks.
    ensure_indexes: bool = False
    #: Delete the plan and the offsets of the migration, and begin it again.
    restart: bool = False
    #: Points per chunk to aim at; None chooses it from the size of the collection.
    chunk_size: int | None = None
    #: The limit in points a second over the whole fleet; None keeps the last one.
    max_rate: int | None = None
    #: Retry the rejects of an earlier run first.
    retry_rejects: bool = False


@dataclass
class PreflightResult:
    """The state of source, target and ledger before the run."""

    source: Source
    target: Server
    ledger: Ledger
    #: The source collection, or the collection that a source of another kind would become.
    source_info: api.CollectionInfo
    #: The target collection; None where it does not exist.
    target_info: api.CollectionInfo | None
    #: The migration in the ledger; None where it has not begun.
    record: MigrationRecord | None
    #: Product and version of source and target, for people.
    versions: tuple[str, str]
    #: The shard keys of the source, and where their shards are placed.
    shard_keys: list[ShardKeyPlacement]
    #: Whether the migration begins: nothing is planned yet, or all of it is forgotten.
    begins: bool
    #: Whether this migration has created the target, left it unfinished, and is not in the ledger.
    is_lost: bool
    #: Payload indexes that are to be created, by field.
    missing_indexes: dict[str, api.PayloadSchemaInfo]
    #: Differences that the user should know of.
    notices: list[str] = field(default_factory=list)
    #: Settings that may slow the migration down or break it.
    warnings: list[str] = field(default_factory=list)

    @property
    def custom_target(self) -> bool:
        """Whether the target has shard keys, or will have them."""
        info = self.target_info or self.source_info
        return is_custom(info)

    @property
    def replicas(self) -> int | None:
        """Replicas of the target's points, or those that it is to have; None is the server's default."""
        keys = [key.replication_factor or 0 for key in self.shard_keys if self.target_info is None]
        return max((self.target_info or self.source_info).config.params.replication_factor, *keys, 0) or None


class Preflight:
    """Checks the source, the target and the ledger of one migration."""

    def __init__(self, migration: Migration, run_options: RunOptions, source: Source, target: Server) -> None:
        self.migration = migration
        self.run_options = run_options
        self.source = source
        self.target = target
        self.ledger = Ledger(target, migration.target.ledger)

    def check(self) -> PreflightResult:
        """TerminalError or UsageError where the migration cannot be done; nothing is written."""
        source = self.source.describe()
        target_version = server_version(self.target)
        warning = check_versions(source.version, target_version) if source.product == "Qdrant" else None
        self.ledger.check()
        record = self.ledger.migration(self.migration.id)
        if self.run_options.retry_rejects:
            self._check_ended(record)
        target_info = collection_info(self.target, self.migration.target.collection)
        if record is not None and not self.run_options.restart:
            self._check_resume(record, target_info)
        elif target_info is None and not self.run_options.create_target:
            self._refuse_missing_target()
        is_lost = record is None and is_created_by(self.migration, target_info)
        result = PreflightResult(
            source=self.source,
            target=self.target,
            ledger=self.ledger,
            source_info=settled(source.info),
            target_info=target_info,
            record=record,
            versions=(f"{source.product} {source.version}", f"Qdrant {target_version}"),
            shard_keys=list(source.shard_keys),
            begins=record is None or self.run_options.restart or not record.is_prepared,
            is_lost=is_lost,
            missing_indexes=self._wanted_indexes(
                source.info, target_info, is_lost or (record is not None and record.created_target)
            ),
            warnings=[*([warning] if warning else []), *source_warnings(source.info)],
        )
        check_index_types(result.missing_indexes)
        if target_info is not None:
            self._compare(result, target_info)
        self._check_sharding(result)
        result.notices += requantized_notices(target_info or source.info)
        if target_info is None:
            name = self.migration.target.collection
            result.notices += replication_notices(self.target, name, result.replicas or 0)
        return result

    def _refuse_missing_target(self) -> None:
        server, name = self.target, self.migration.target.collection
        close = close_names(name, collection_names(server))
        raise TerminalError(
            f"target {server.endpoint.url} has no collection {name!r}{close}; "
            "give --create-target-collection (-c) to create it with the source's settings"
        )

    def _check_ended(self, record: MigrationRecord | None) -> None:
        """UsageError unless the migration has ended: no worker may hold a chunk while rejects are retried."""
        if self.run_options.restart:
            raise UsageError("--retry-rejects and --restart-migration cannot be given together; give one of them")
        if record is None or record.state not in (State.DONE, State.FAILED):
            state = "has not begun" if record is None else f"is {record.state}"
            raise UsageError(f"--retry-rejects: this migration {state}; leave the option out until it has ended")

    def _check_resume(self, record: MigrationRecord, target: api.CollectionInfo | None) -> None:
        """Refuse what would change the plan of a migration that has begun."""
        out = "or begin again with --restart-migration"
        if not record.is_prepared:
            if target is None and not self.run_options.create_target:
                self._refuse_missing_target()
            return
        if target is None:
            raise TerminalError(
                f"migration {record.migration} has begun, but its target collection "
                f"{self.migration.target.collection!r} no longer exists; restore it {out}"
            )
        check_resumed(record, self.migration, self.source, self.target)
        if record.chunk_size and self.run_options.chunk_size not in (None, record.chunk_size):
            raise UsageError(
                f"--chunk-size {self.run_options.chunk_size}: this migration's plan has chunks of "
                f"{record.chunk_size}; leave the option out {out}"
            )
        routing = record.definition.routing
        if routing != self.migration.routing:
            raise UsageError(
                f"this migration's plan routes points {_described(routing)}, not "
                f"{_described(self.migration.routing)}; give the same options {out}"
            )

    def _wanted_indexes(
        self, source: api.CollectionInfo, target: api.CollectionInfo | None, created: bool
    ) -> dict[str, api.PayloadSchemaInfo]:
        if target is not None and not created and not self.run_options.ensure_indexes:
            return {}
        return target_missing_indexes(source, target or api.CollectionInfo())

    def _compare(self, result: PreflightResult, target: api.CollectionInfo) -> None:
        differences = target_differences(result.source_info, target)
        if differences:
            raise TerminalError(
                f"the target collection {self.migration.target.collection!r} does not match the source: "
                f"{'; '.join(differences)}. Give another --target-collection; with -c it is created"
            )
        result.notices += target_notices_of_loads(self.migration, target, result.is_lost)
        if not result.is_lost and (result.record is None or not result.record.created_target):
            final = settled(target)
            result.notices += target_notices(result.source_info, final)
            result.notices += index_notices(result.source_info, final)
            result.warnings += target_throttles(target)

    def _check_sharding(self, result: PreflightResult) -> None:
        """Refuse shard keys that do not match, and a target without them where an id occurs under several."""
        routing = self.migration.routing
        if routing != Routing() and not result.custom_target:
            raise UsageError(
                f"the target collection {self.migration.target.collection!r} has no shard keys; leave out "
                "--target-shard-key and --target-shard-key-field"
            )
        if result.custom_target:
            if result.target_info is None:
                check_shard_keys_possible(result.target, self.migration.target.collection)
            if routing == Routing() and not is_custom(result.source_info):
                raise UsageError(
                    f"the target collection {self.migration.target.collection!r} has shard keys and the source "
                    "has none; choose one with --target-shard-key or --target-shard-key-field"
                )
        merges = not result.custom_target or routing.shard_key is not None
        if result.begins and merges and (repeats := result.source.count_duplicate_ids()):
            raise TerminalError(
                f"{repeats:,} points of the source have an id that occurs under another shard key too, and the "
                "target would keep only one of each; use a target with the same shard keys"
            )


def _described(routing: Routing) -> str:
    if routing.shard_key is not None:
        return f"to shard key {routing.shard_key}"
    if routing.shard_key_field is not None:
        return f"by payload field {routing.shard_key_field!r}"
    return "to the shard keys of the source"
