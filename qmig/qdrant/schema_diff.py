"""Compare the settings of a source with those of an existing target."""

from dataclasses import dataclass
from typing import cast

from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import Message

from qmig.qdrant import messages as api
from qmig.qdrant.enum_names import enum_name

#: Datatypes of source and target with which a vector stays the same. Every vector is read as float32.
LOSSLESS = {
    (api.Datatype.Uint8, api.Datatype.Float16),
}

#: Parameters of a vector that `differences` compares; the others affect speed and memory only.
DEFINING = {"size", "distance", "datatype", "multivector_config", "modifier"}

#: Flags for which false means the same as unset; search_allow_exact is not one of them.
FALSE_BY_DEFAULT = {
    "always_ram",
    "enabled",
    "inline_storage",
    "on_disk",
    "on_disk_payload",
    "prevent_unoptimized",
}


@dataclass(frozen=True)
class Vectors:
    """The vectors of a collection by name; the unnamed vector has the empty name, as in Qdrant itself."""

    dense: dict[str, api.VectorParams]
    sparse: dict[str, api.SparseVectorParams]

    @classmethod
    def of(cls, info: api.CollectionInfo) -> "Vectors":
        params = info.config.params
        dense = dict(params.vectors_config.params_map.map)
        if params.vectors_config.HasField("params"):
            dense[""] = params.vectors_config.params
        return cls(dense, dict(params.sparse_vectors_config.map))

    def kind(self, name: str) -> str | None:
        if name in self.dense:
            return "dense"
        return "sparse" if name in self.sparse else None

    @property
    def names(self) -> set[str]:
        return {*self.dense, *self.sparse}


def differences(source: api.CollectionInfo, target: api.CollectionInfo) -> list[str]:
    """Describe why an existing target cannot hold the points of the source; one line each, none if it can.

    The target needs the same vector names, sizes, distances, comparators and modifiers, and datatypes that keep every
    value: the same, float32, or float16 for uint8. Sharding is not compared: it depends on the points.
    """
    ours, theirs = Vectors.of(source), Vectors.of(target)
    lines: list[str] = []
    for name in sorted(ours.names | theirs.names):
        kinds = (ours.kind(name), theirs.kind(name))
        if kinds[0] != kinds[1]:
            lines.append(_line(vector_name(name), kinds[0] or "missing", kinds[1] or "missing"))
        elif kinds[0] == "dense":
            lines.extend(_dense_differences(name, ours.dense[name], theirs.dense[name]))
        else:
            modifiers = [vectors.sparse[name].modifier for vectors in (ours, theirs)]
            if modifiers[0] != modifiers[1]:
                lines.append(
                    _line(
                        vector_name(name),
                        *(f"modifier {enum_name(api.Modifier.DESCRIPTOR, value)}" for value in modifiers),
                    )
                )
    return lines


def notices(source: api.CollectionInfo, target: api.CollectionInfo) -> list[str]:
    """Describe settings of an existing target that differ from the source's and are left so; one line each.

    They change speed, memory and safety, but not the points.
    """
    lines = []
    # Only a Qdrant has shards; another kind of source has no settings to compare.
    if source.config.params.shard_number:
        lines += _setting_lines("", source.config, target.config, {"params"})
        lines += _setting_lines(
            "", source.config.params, target.config.params, {"vectors_config", "sparse_vectors_config"}
        )
    ours, theirs = Vectors.of(source), Vectors.of(target)
    for name in sorted(ours.names & theirs.names):
        for mine, other in ((ours.dense, theirs.dense), (ours.sparse, theirs.sparse)):
            if name in mine and name in other:
                lines += _setting_lines(f"{vector_name(name)}: ", mine[name], other[name], DEFINING)
                break
    return lines


def throttles(target: api.CollectionInfo) -> list[str]:
    """Describe settings of an existing target that slow a migration down or stop it; one line each."""
    lines = []
    if target.config.strict_mode_config.enabled:
        lines.append("the target is in strict mode, which may limit the size and the rate of upserts")
    if target.config.optimizer_config.prevent_unoptimized:
        lines.append("the target has prevent_unoptimized: upserts wait until their points are indexed")
    return lines


def _dense_differences(name: str, ours: api.VectorParams, theirs: api.VectorParams) -> list[str]:
    lines = []
    if ours.size != theirs.size:
        lines.append(_line(vector_name(name), f"size {ours.size}", f"size {theirs.size}"))
    if ours.distance != theirs.distance:
        lines.append(
            _line(
                vector_name(name),
                *(f"distance {enum_name(api.Distance.DESCRIPTOR, side.distance)}" for side in (ours, theirs)),
            )
        )
    comparators = [comparator_name(side) for side in (ours, theirs)]
    if comparators[0] != comparators[1]:
        lines.append(_line(vector_name(name), comparators[0], comparators[1]))
    if not _keeps_values(ours.datatype, theirs.datatype):
        datatypes = [f"datatype {datatype_name(side.datatype)}" for side in (ours, theirs)]
        lines.append(f"{_line(vector_name(name), *datatypes)}, which cannot hold every value")
    return lines


def _keeps_values(ours: int, theirs: int) -> bool:
    same = datatype_name(ours) == datatype_name(theirs)
    return same or datatype_name(theirs) == "float32" or (ours, theirs) in LOSSLESS


def _setting_lines(prefix: str, source: Message, target: Message, skipped: set[str]) -> list[str]:
    """One line for each field that differs between two messages of one type, with its parts that differ."""
    lines = []
    for field in _fields(source):
        if field.name in skipped:
            continue
        values = [_settings(message, field) for message in (source, target)]
        if _is_map(field):
            keys = sorted(key for key in {**values[0], **values[1]} if values[0].get(key) != values[1].get(key))
            if keys:
                lines.append(f"{prefix}{field.name}: other values under {', '.join(keys)}")
            continue
        left = {path: value for path, value in values[0].items() if values[1].get(path) != value}
        right = {path: value for path, value in values[1].items() if values[0].get(path) != value}
        if left or right:
            absent = "false" if field.type == FieldDescriptor.TYPE_BOOL else "not set"
            lines.append(prefix + _line(field.name, _described(left) or absent, _described(right) or absent))
    return lines


def _settings(message: Message, field: FieldDescriptor) -> dict[str, object]:
    """The values that are set in a field: a map's entries, a message's fields, or one value under the empty name."""
    if _is_map(field):
        return dict(getattr(message, field.name))
    if field.message_type is None:
        value = _scalar(message, field)
        return {} if value is None else {"": value}
    if not message.HasField(field.name):
        return {}
    held = getattr(message, field.name)
    settings: dict[str, object] = {}
    for part in _fields(held):
        if part.message_type is None:
            value = _scalar(held, part)
        else:
            is_set = not part.has_presence or held.HasField(part.name)
            value = f"{{{' '.join(str(getattr(held, part.name)).split())}}}" if is_set else None
        if value is not None:
            settings[f"{part.name} "] = value
    return settings


def _scalar(message: Message, field: FieldDescriptor) -> object:
    """A field's value for people; None where it is unset or says the same as an unset one."""
    value = getattr(message, field.name)
    if field.has_presence and not message.HasField(field.name):
        return None
    if field.enum_type is not None:
        return enum_name(field.enum_type, value) if value else None
    if field.type == FieldDescriptor.TYPE_BOOL:
        return "true" if value else None if field.name in FALSE_BY_DEFAULT else "false"
    return value


def _described(settings: dict[str, object]) -> str:
    return ", ".join(f"{name}{value}" for name, value in settings.items())


def _fields(message: Message) -> list[FieldDescriptor]:
    return cast("list[FieldDescriptor]", message.DESCRIPTOR.fields)


def _is_map(field: FieldDescriptor) -> bool:
    return field.message_type is not None and field.message_type.GetOptions().map_entry


def _line(what: str, source: str, target: str) -> str:
    return f"{what}: {source} in the source, {target} in the target"


def vector_name(name: str) -> str:
    """A vector's name for people."""
    return f"vector {name!r}" if name else "the unnamed vector"


def datatype_name(value: int) -> str:
    """The name of a vector's datatype, such as `float32`."""
    name = enum_name(api.Datatype.DESCRIPTOR, value)
    return "float32" if name == "Default" else name.lower()


def comparator_name(params: api.VectorParams) -> str:
    """Whether a vector is a multivector, and how its parts are compared."""
    if not params.HasField("multivector_config"):
        return "a single vector"
    comparator = enum_name(api.MultiVectorComparator.DESCRIPTOR, params.multivector_config.comparator)
    return f"a multivector with {comparator}"
