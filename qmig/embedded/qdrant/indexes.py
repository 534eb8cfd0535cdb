"""Convert payload indexes from Qdrant's messages to the storage engine."""

from __future__ import annotations

from typing import Any

import qdrant_edge as edge

from qmig.embedded.qdrant.refusals import invalid, require_served, unserved
from qmig.qdrant import messages as api

KINDS = ("Keyword", "Integer", "Float", "Geo", "Text", "Bool", "Datetime", "Uuid")
TOKENIZERS = {
    api.Prefix: edge.TokenizerType.Prefix,
    api.Whitespace: edge.TokenizerType.Whitespace,
    api.Word: edge.TokenizerType.Word,
    api.Multilingual: edge.TokenizerType.Multilingual,
}
#: Parameters that change where an index is kept and not its answers: they are stored and returned.
STORAGE_ONLY = ("on_disk", "is_tenant", "is_principal", "enable_hnsw", "memory")


def index_info(request: api.CreateFieldIndexCollection) -> api.PayloadSchemaInfo:
    """The index that a request asks for, as `payload_schema` shows it."""
    if not request.field_name:
        raise invalid('Validation error in body: [field_name: value "" invalid, must be at least 1 characters]')
    if not request.HasField("field_type") or request.field_type >= len(KINDS):
        raise invalid("cannot convert field_type")
    kind = KINDS[request.field_type]
    info = api.PayloadSchemaInfo(data_type=api.PayloadSchemaType.Value(kind))
    params = request.field_index_params.WhichOneof("index_params")
    if params is not None:
        if params != f"{kind.lower()}_index_params":
            raise invalid(f"field_type ({kind}) and field_index_params do not match")
        info.params.CopyFrom(request.field_index_params)
    return info


def engine_schema(info: api.PayloadSchemaInfo) -> Any:
    """The index as the engine takes it."""
    kind = api.PayloadSchemaType.Name(info.data_type)
    params = info.params.WhichOneof("index_params")
    if params is None:
        return getattr(edge.PayloadSchemaType, kind)
    message = getattr(info.params, params)
    if kind == "Text":
        return text_params(message)
    if kind == "Integer":
        require_served(message, "an integer index", "lookup", "range", *STORAGE_ONLY)
        lookup = message.lookup if message.HasField("lookup") else None
        span = message.range if message.HasField("range") else None
        if lookup is False and span is False:
            raise invalid(
                "Validation error in body: [field_index_params.index_params.lookup: Validation error: "
                "the 'lookup' and 'range' capabilities can't be both disabled [{}]]"
            )
        return edge.IntegerIndexParams(lookup=lookup, range=span)
    require_served(message, f"a {kind.lower()} index", *STORAGE_ONLY)
    return getattr(edge.PayloadSchemaType, kind)


def text_params(message: Any) -> edge.TextIndexParams:
    plain = ("lowercase", "min_token_len", "max_token_len", "phrase_matching", "ascii_folding")
    require_served(message, "a text index", "tokenizer", "stopwords", "stemmer", *plain, *STORAGE_ONLY)
    parts: dict[str, Any] = {name: getattr(message, name) for name in plain if message.HasField(name)}
    if message.tokenizer not in TOKENIZERS:
        raise unserved(f"the tokenizer {api.TokenizerType.Name(message.tokenizer)} in a text index")
    parts["tokenizer"] = TOKENIZERS[message.tokenizer]
    if message.HasField("stopwords"):
        languages = {language(edge.Language, name) for name in message.stopwords.languages}
        parts["stopwords"] = edge.StopwordsSet(languages=languages, custom=set(message.stopwords.custom))
    if message.HasField("stemmer"):
        kind = message.stemmer.WhichOneof("stemming_params")
        if kind != "snowball":
            raise unserved(f"the stemmer `{kind}` in a text index")
        parts["stemmer"] = edge.SnowballParams(language(edge.SnowballLanguage, message.stemmer.snowball.language))
    return edge.TextIndexParams(**parts)


def language(kinds: Any, name: str) -> Any:
    try:
        return getattr(kinds, name.capitalize())
    except AttributeError as error:
        raise invalid(f"unknown language: {name}") from error
