"""The kinds of Milvus servers that tests run on, and each with the samples that it takes."""

import os
from collections.abc import Callable

import pytest

from tests.support.milvus.samples import samples_for
from tests.support.milvus.samples.sample import Sample
from tests.support.milvus.servers import KINDS, GivenServer, MilvusServer

VARIABLE = "QMIG_TEST_MILVUS"
KIND_NAMES = [each.kind for each in KINDS] + [GivenServer.kind] * (VARIABLE in os.environ)

StartMilvus = Callable[[str], MilvusServer]
FindSample = Callable[[str, Sample], str]

every_sample = pytest.mark.parametrize(
    ("kind", "sample"),
    [pytest.param(kind, sample, id=f"{kind}-{sample.name}") for kind in KIND_NAMES for sample in samples_for(kind)],
)
