"""Both ends looked at before anything is written: what is there, and whether the migration can be done."""

from dataclasses import dataclass, field

from qmig.errors import TerminalError, UsageError
from qmig.ledger.ledger import Ledger
from qmig.ledger.records import MigrationRecord, State
from qmig.migration import Migration, Routing
from qmig.qdrant import messages as api
from qmig.qdrant.collection import close_names, collection_info, collection_names, is_custom
from qmig.qdrant.payload_indexes import check_index_types, index_notices
from qmig.qdrant.payload_indexes import missing_indexes as target_missing_indexes
from qmig.qdrant.schema_diff import differences as target_differences
from qmig.qdrant.schema_diff import notices as target_notices
from qmig.qdrant.schema_diff import throttles as target_throttles
from qmig.qdrant.server import Server, server_version
from qmig.qdrant.shard_keys import ShardKeyPlacement, check_shard_keys_possible
from qmig.qdrant.versions import check_versions
from qmig.sources.base import Source


@dataclass(frozen=True)
class RunOptions:
    """What a command asks for beyond the migration itself."""

    create_target: bool = False
    ensure_indexes: bool = False
    restart: bool = False
    chunk_size: int | None = None
    max_rate: int | None = None
    retry_rejects: bool = False


@dataclass
class PreflightResult:
    """Both ends as they were found; nothing has been written."""

    source: Source
    target: Server
    ledger: Ledger
    source_info: api.CollectionInfo
    target_info: api.CollectionInfo | None
    record: MigrationRecord | None
    versions: tuple[str, str]
    shard_keys: list[ShardKeyPlacement]
    missing_indexes: dict[str, api.PayloadSchemaInfo]
    notices: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)

    @property
    def custom_target(self) -> bool:
        """Whether the target shards, or will shard, by key."""
        info = self.target_info or self.source_info
        return is_custom(info)


class Preflight:
    """Looks at both ends of one migration; TerminalError or UsageError where it cannot be done."""

    def __init__(self, migration: Migration, run_options: RunOptions, source: Source, target: Server) -> None:
        self.migration = migration
        self.run_options = run_options
        self.source = source
        self.target = target
        self.ledger = Ledger(target, migration.target.ledger)

    def check(self) -> PreflightResult:
        """Look at both ends; nothing is written."""
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
        survey = PreflightResult(
            source=self.source,
            target=self.target,
            ledger=self.ledger,
            source_info=source.info,
            target_info=target_info,
            record=record,
            versions=(f"{source.product} {source.version}", f"Qdrant {target_version}"),
            shard_keys=list(source.shard_keys),
            missing_indexes=self._wanted_indexes(source.info, target_info, record),
            warnings=[warning] if warning else [],
        )
        check_index_types(survey.missing_indexes)
        if target_info is not None:
            self._compare(survey, target_info)
        self._check_sharding(survey)
        return survey

    def _refuse_missing_target(self) -> None:
        server, name = self.target, self.migration.target.collection
        close = close_names(name, collection_names(server))
        raise TerminalError(
            f"target {server.endpoint.url} has no collection {name!r}{close}; "
            "give --create-target-collection (-c) to create it as the source is"
        )

    def _check_ended(self, record: MigrationRecord | None) -> None:
        """Rejects are tried again only where no worker is at the migration's chunks."""
        if self.run_options.restart:
            raise UsageError("--retry-rejects and --restart-migration exclude each other; give one")
        if record is None or record.state not in (State.DONE, State.FAILED):
            state = "has not begun" if record is None else f"is {record.state}"
            raise UsageError(f"--retry-rejects: this migration {state}; leave the option out until it has ended")

    def _check_resume(self, record: MigrationRecord, target: api.CollectionInfo | None) -> None:
        """The plan is frozen: what would change it is refused."""
        out = "or begin again with --restart-migration"
        if record.state == State.PREPARING:
            if target is None and not self.run_options.create_target:
                self._refuse_missing_target()
            return
        if target is None:
            raise TerminalError(
                f"migration {record.migration} was begun, but its target collection "
                f"{self.migration.target.collection!r} is gone; restore it {out}"
            )
        if record.chunk_size and self.run_options.chunk_size not in (None, record.chunk_size):
            raise UsageError(
                f"--chunk-size {self.run_options.chunk_size}: this migration's plan has chunks of "
                f"{record.chunk_size}; leave the option out {out}"
            )
        routing = Migration.from_json(record.definition).routing
        if routing != self.migration.routing:
            raise UsageError(
                f"this migration's plan routes points {_described(routing)}, not "
                f"{_described(self.migration.routing)}; give the same options {out}"
            )

    def _wanted_indexes(
        self, source: api.CollectionInfo, target: api.CollectionInfo | None, record: MigrationRecord | None
    ) -> dict[str, api.PayloadSchemaInfo]:
        created = target is None or (record is not None and record.created_target)
        if not created and not self.run_options.ensure_indexes:
            return {}
        return target_missing_indexes(source, target or api.CollectionInfo())

    def _compare(self, survey: PreflightResult, target: api.CollectionInfo) -> None:
        differences = target_differences(survey.source_info, target)
        if differences:
            raise TerminalError(
                f"the target collection {self.migration.target.collection!r} does not fit the source: "
                f"{'; '.join(differences)}. Give another --target-collection; -c creates one that fits"
            )
        if survey.record is None or not survey.record.created_target:
            survey.notices += target_notices(survey.source_info, target)
            survey.notices += index_notices(survey.source_info, target)
            survey.warnings += target_throttles(target)

    def _check_sharding(self, survey: PreflightResult) -> None:
        """Every point must have a shard to go to, and repeats of an id a shard key each."""
        routing = self.migration.routing
        if routing != Routing() and not survey.custom_target:
            raise UsageError(
                f"the target collection {self.migration.target.collection!r} does not shard by key; leave out "
                "--target-shard-key and --target-shard-key-field"
            )
        if survey.custom_target:
            if survey.target_info is None:
                check_shard_keys_possible(survey.target, self.migration.target.collection)
            if routing == Routing() and not is_custom(survey.source_info):
                raise UsageError(
                    f"the target collection {self.migration.target.collection!r} shards by key and the source "
                    "does not; say where its points go with --target-shard-key or --target-shard-key-field"
                )
        merges = not survey.custom_target or routing.shard_key is not None
        begins = survey.record is None or self.run_options.restart or survey.record.state == State.PREPARING
        if begins and merges and (repeats := survey.source.count_duplicate_ids()):
            raise TerminalError(
                f"{repeats:,} points of the source repeat an id under another shard key, and the target could hold "
                "each id once; use a target that shards by the same keys"
            )


def _described(routing: Routing) -> str:
    if routing.shard_key is not None:
        return f"to shard key {routing.shard_key!r}"
    if routing.shard_key_field is not None:
        return f"by payload field {routing.shard_key_field!r}"
    return "to the shard keys of the source"
