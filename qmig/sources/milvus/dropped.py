"""What a migration leaves behind of a Milvus collection: a line for each setting without a counterpart in Qdrant."""

from collections.abc import Iterator

from qmig.sources.milvus.schema import TEXTS, TYPES, Collection, Field

TTL, TTL_FIELD, REPLICAS = "collection.ttl.seconds", "ttl_field", "collection.replica.number"
#: Properties that are mapped, that have a line of their own, or that are about one server's work.
KNOWN = {TTL, TTL_FIELD, REPLICAS, "mmap.enabled", "timezone", "collection.autocompaction.enabled"}
#: Field settings that are mapped, or that limit what may be inserted.
KNOWN_PARAMS = {"dim", "max_length", "max_capacity", "mmap.enabled", "enable_match", "warmup"}
ANALYZER = {"enable_analyzer", "analyzer_params", "multi_analyzer_params"}


def dropped_settings(collection: Collection, skipped: set[str]) -> list[str]:
    """Describe what does not come along, one line each."""
    copied = [one for one in collection.fields if one.name not in skipped]
    return [
        *_of_collection(collection),
        *(line for one in copied for line in _of_field(one)),
        *_functions(collection),
        *_rounded(copied),
    ]


def _of_collection(collection: Collection) -> Iterator[str]:
    properties = collection.properties
    if _is_set(properties.get(TTL, "")):
        yield (
            f"{TTL}={properties[TTL]}: Qdrant has no TTL; rows that have not expired yet are copied and stay, unless "
            "something deletes them"
        )
    if field := properties.get(TTL_FIELD):
        yield f"{TTL_FIELD}={field}: Qdrant has no TTL; rows stay after their time, unless something deletes them"
    if properties.get(REPLICAS, "1") not in ("", "0", "1"):
        yield (
            f"{REPLICAS}={properties[REPLICAS]}: the target gets the replication factor of its server's "
            "configuration; for another, make the target beforehand"
        )
    if zone := properties.get("timezone"):
        yield f"timezone={zone}: Qdrant has no time zone for a collection; times are copied as Milvus returns them"
    for name in sorted(properties.keys() - KNOWN):
        yield f"property {name}={properties[name]} has no counterpart"
    if collection.consistency not in ("", "Bounded"):
        yield f"consistency level {collection.consistency} is not kept: in Qdrant a read or a write asks for its own"
    if collection.shards > 1:
        yield f"{collection.shards} shards: the target gets the number of its server's configuration"
    if collection.aliases:
        yield f"aliases are not copied: {', '.join(collection.aliases)}"
    if collection.description:
        yield "the description of the collection is not copied"
    if described := [one.name for one in collection.fields if one.description]:
        yield f"the descriptions of fields are not copied: {', '.join(map(repr, described))}"


def _of_field(one: Field) -> Iterator[str]:
    if one.auto_id:
        yield f"field {one.name!r} has auto_id: Qdrant makes no ids, so whoever writes to the target must choose them"
    if one.has_default:
        yield f"field {one.name!r} has a default value: copied rows have it, and Qdrant adds it to no new point"
    if one.is_clustering_key:
        yield f"field {one.name!r} is the clustering key, which has no counterpart"
    analyzer = sorted(one.params.keys() & ANALYZER)
    if analyzer and one.type in TEXTS:
        yield (
            f"field {one.name!r}: Qdrant has other analyzers, so {', '.join(analyzer)} is kept at most as the "
            "tokenizer of a text index"
        )
    for name in sorted(one.params.keys() - KNOWN_PARAMS - ANALYZER):
        yield f"field {one.name!r}: {name}={one.params[name]} has no counterpart"


def _functions(collection: Collection) -> Iterator[str]:
    for function in collection.functions:
        outputs = ", ".join(map(repr, function.outputs)) or "the ranking"
        yield f"function {function.name!r} ({function.type}) is not copied: Qdrant does not compute {outputs}"


def _rounded(fields: list[Field]) -> Iterator[str]:
    floats = {TYPES.Float, TYPES.Double}
    if names := [one.name for one in fields if one.type in floats or one.element_type in floats]:
        shown = ", ".join(map(repr, names))
        yield f"numbers in {shown}: Qdrant itself returns about one payload double of ten with another last bit"


def _is_set(seconds: str) -> bool:
    return seconds.strip() not in ("", "0", "-1")
