"""Small collections with every type of Milvus, and the rows that a reader has to get out of them.

Results of trials: what each server accepts and returns.

====================================  ===================  ==============================  =======================
what                                  Milvus Lite 3.2.2    Milvus Lite 2.5.1               standalone 2.3.5
====================================  ===================  ==============================  =======================
FLOAT_VECTOR COSINE, L2, IP           yes, as inserted     yes, as inserted                yes, as inserted
FLOAT16_VECTOR                        no                   yes                             yes
BFLOAT16_VECTOR                       no                   yes                             no (no index, no load)
BINARY_VECTOR, any metric             no                   yes                             yes
SPARSE_FLOAT_VECTOR                   not empty, no < 0    yes                             no
INT8_VECTOR                           no                   no                              no
TEXT                                  no                   no                              ends the server for good
arrays of structs                     field dropped        field dropped                   field dropped
several vector fields                 yes                  yes                             no
NULL: scalar, JSON, array             yes                  no                              flag silently ignored
NULL: vector                          zeros come back      no                              no
NULL: sparse, in a batch with others  no                   no                              no
default values                        yes                  given only: leaving one out     int64, float, double,
                                                           ends the server or spoils its   bool, varchar; a batch
                                                           data for good                   gives all or none
JSON object                           yes                  yes                             yes
JSON list                             yes                  yes                             no
JSON text, number, bool               no                   yes                             no
JSON null                             no; NULL is kept     yes (None ends the server)      yes
ARRAY of every scalar type            yes                  yes                             yes
dynamic fields, and null in them      yes                  yes                             yes
a key of $meta that is a field, too   hides the field      beside the field                beside the field
NaN, infinity: FLOAT, DOUBLE          yes                  yes                             yes
NaN, infinity: FLOAT_VECTOR           yes                  yes                             no; in FLOAT16_VECTOR
partitions; databases; aliases        yes                  no, no, no                      yes
partition key                         yes, 16 partitions   no filter works then            yes
GEOMETRY, TIMESTAMPTZ                 text; UTC, "…Z"      no                              ends the server for good
BM25: its output can be read          yes, as numbers of   no: the column is missing       no
                                      hashed words
BM25: describe names the function     yes                  no; is_function_output is set   no
enable_match of a VARCHAR             yes                  yes                             kept, without effect
INDEX parameters in describe_index    dropped              yes                             yes
vector index types                    takes any name       FLAT, IVF_FLAT, AUTOINDEX       up to 2.3's, no HNSW_SQ
scalar index types                    INVERTED             INVERTED, Trie; "" picks one    STL_SORT, Trie; "" hides
                                                                                           which
descriptions                          lost                 kept                            kept
no index on the vector                loads                loads                           does not load
a released collection                 error 101            reads on                        error 101
Int64 key 2**63 - 1                   yes                  yes                             counted, not returned
the same key twice                    the last, counted 1  the last, counted as often      the first, counted as often
====================================  ===================  ==============================  =======================
"""

from collections.abc import Mapping

from tests.support.milvus.samples.fields import FIELDS
from tests.support.milvus.samples.keys import KEYS
from tests.support.milvus.samples.layouts import LAYOUTS
from tests.support.milvus.samples.sample import ALL, Sample
from tests.support.milvus.samples.vectors import VECTORS

SAMPLES = (*VECTORS, *KEYS, *FIELDS, *LAYOUTS)
BY_NAME: Mapping[str, Sample] = {sample.name: sample for sample in SAMPLES}


def samples_for(kind: str) -> list[Sample]:
    """The samples for a kind of server; a server that the tests did not start gets all of them."""
    return [sample for sample in SAMPLES if kind in sample.servers or (kind not in ALL and not sample.peculiar)]
