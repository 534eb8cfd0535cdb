"""A scroll's answer becomes an upsert byte for byte, whatever the points hold."""

import random

import pytest
from qdrant_client import grpc as api

from qmig.errors import TerminalError
from qmig.qdrant.passthrough import payload_value, point_id, read_scroll, upsert_request
from tests.support.random_points import a_point, a_value, an_id, as_point_struct, some_vectors

SEEDS = range(60)
# Wire types of protobuf's encoding guide.
VARINT, FIXED64, LENGTH, FIXED32 = 0, 1, 2, 5


def varint(value: int) -> bytes:
    encoded = b""
    while value > 127:
        encoded += bytes([value & 127 | 128])
        value >>= 7
    return encoded + bytes([value])


def a_field(number: int, content: bytes) -> bytes:
    return varint(number << 3 | LENGTH) + varint(len(content)) + content


def unknown_field(numbers: random.Random) -> bytes:
    """A field of a newer server, of any wire type, with a tag of one to five bytes."""
    number = numbers.choice([3, 7, 15, 16, 100, 2047, 2048, 2**29 - 1])
    wire_type = numbers.choice([VARINT, FIXED64, LENGTH, FIXED32])
    tag = varint(number << 3 | wire_type)
    if wire_type == VARINT:
        return tag + varint(numbers.getrandbits(numbers.choice([1, 7, 8, 32, 64])))
    if wire_type == LENGTH:
        content = numbers.randbytes(numbers.choice([0, 1, 127, 128, 300]))
        return tag + varint(len(content)) + content
    return tag + numbers.randbytes(8 if wire_type == FIXED64 else 4)


@pytest.mark.parametrize("seed", SEEDS)
def test_every_point_becomes_what_the_typed_classes_make_of_it(seed: int) -> None:
    numbers = random.Random(seed)
    response = api.ScrollResponse(
        result=[a_point(numbers) for _ in range(numbers.randrange(8))], time=0.25, next_page_offset=an_id(numbers)
    )

    points, following = read_scroll(response.SerializeToString())

    assert [api.PointStruct.FromString(point) for point in points] == list(map(as_point_struct, response.result))
    assert following == response.next_page_offset
    assert [point_id(point) for point in points] == [point.id for point in response.result]


@pytest.mark.parametrize("seed", SEEDS)
def test_the_upsert_is_what_the_typed_classes_would_send(seed: int) -> None:
    numbers = random.Random(seed)
    response = api.ScrollResponse(result=[a_point(numbers) for _ in range(5)])
    header = api.UpsertPoints(
        collection_name="größe",
        wait=True,
        shard_key_selector=api.ShardKeySelector(shard_keys=[api.ShardKey(keyword="eu")]),
    )
    points, _ = read_scroll(response.SerializeToString())

    request = upsert_request(header.SerializeToString(), points)

    header.points.extend(map(as_point_struct, response.result))
    assert api.UpsertPoints.FromString(request) == header


@pytest.mark.parametrize("seed", SEEDS)
def test_fields_in_any_order_and_unknown_ones_stay_as_they_are(seed: int) -> None:
    """The expected bytes are put together field by field: other tags for the payload, nothing else changed."""
    numbers = random.Random(seed)
    point = a_point(numbers)
    fields: list[tuple[bytes, bytes]] = []
    for number in (1, 4, 5, 6):
        name = api.RetrievedPoint.DESCRIPTOR.fields_by_number[number].name
        if point.HasField(name):
            content = getattr(point, name).SerializeToString()
            written = a_field(number, content)
            fields.append((written, written if number < 5 else b""))
    for key, value in point.payload.items():
        entry = a_field(1, key.encode()) + a_field(2, value.SerializeToString())
        fields.append((a_field(2, entry), a_field(3, entry)))
    # Field 3 of a RetrievedPoint is reserved; there is none to be mistaken for a payload.
    unknown = [one for one in (unknown_field(numbers) for _ in range(10)) if one[0] >> 3 != 3]
    fields += [(one, one) for one in unknown]
    numbers.shuffle(fields)
    read = b"".join(before for before, _ in fields)

    [written], _ = read_scroll(a_field(2, read))

    assert written == b"".join(after for _, after in fields)
    assert point_id(written) == point.id


def test_a_last_page_has_no_next_one() -> None:
    assert read_scroll(b"") == ([], None)
    assert read_scroll(api.ScrollResponse(time=1.0).SerializeToString()) == ([], None)


def test_lengths_at_the_edges_of_their_encoding_are_kept() -> None:
    for size in (0, 1, 126, 127, 128, 129, 16_383, 16_384, 2**21 - 1, 2**21, 5_000_000):
        point = api.RetrievedPoint(id=api.PointId(num=size), payload={"": api.Value(string_value="x" * size)})
        [written], _ = read_scroll(api.ScrollResponse(result=[point]).SerializeToString())
        assert api.PointStruct.FromString(written) == as_point_struct(point)


def test_an_answer_that_is_cut_off_is_refused_or_holds_whole_points() -> None:
    numbers = random.Random(0)
    result = [
        api.RetrievedPoint(id=an_id(numbers), payload={"text": a_value(numbers)}, vectors=some_vectors(numbers))
        for _ in range(4)
    ]
    response = api.ScrollResponse(result=result, next_page_offset=an_id(numbers)).SerializeToString()
    whole, _ = read_scroll(response)
    refused = 0
    for end in range(len(response)):
        try:
            points, _ = read_scroll(response[:end])
        except TerminalError:
            refused += 1
        else:
            assert points == whole[: len(points)]
    assert refused > len(response) - 10


def test_a_wire_type_that_cannot_be_is_refused() -> None:
    with pytest.raises(TerminalError, match="wire type 3"):
        read_scroll(a_field(2, bytes([9 << 3 | 3])))


def test_a_point_without_an_id_is_refused() -> None:
    with pytest.raises(TerminalError, match="without an id"):
        point_id(api.PointStruct(vectors=api.Vectors()).SerializeToString())


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("city", api.Value(string_value="Berlin")),
        ("cities", api.Value(integer_value=3)),
        ("", api.Value(bool_value=True)),
        ("größe", api.Value(double_value=1.5)),
        ("Berlin", None),
        ("cit", None),
        ("nested", api.Value(struct_value=api.Struct(fields={"inner": api.Value(integer_value=1)}))),
        ("inner", None),
        ("nested.inner", None),
    ],
)
def test_a_payload_value_is_found_by_its_whole_key(key: str, value: api.Value | None) -> None:
    point = api.PointStruct(
        id=api.PointId(num=1),
        payload={
            "city": api.Value(string_value="Berlin"),
            "cities": api.Value(integer_value=3),
            "": api.Value(bool_value=True),
            "größe": api.Value(double_value=1.5),
            "nested": api.Value(struct_value=api.Struct(fields={"inner": api.Value(integer_value=1)})),
        },
    )
    assert payload_value(point.SerializeToString(), key) == value
