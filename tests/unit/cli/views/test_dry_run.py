"""A dry run describes vectors, also those of a newer server."""

from qdrant_client import grpc as api

from qmig.cli.views.dry_run import describe_vectors


def test_a_distance_that_the_client_does_not_know_is_shown_as_its_number() -> None:
    info = api.CollectionInfo()
    vectors = info.config.params.vectors_config.params_map.map
    vectors["known"].size, vectors["known"].distance = 4, api.Distance.Cosine
    vectors["new"].size, vectors["new"].distance = 8, 99

    assert describe_vectors(info) == "known 4-d Cosine, new 8-d 99"
