"""A read of several queries in the background.

Its steps are a generator, which yields a request and is sent the answer.
"""

import time
from collections.abc import Generator
from typing import Any, Generic, Self, TypeVar

from qmig.errors import QmigError, TransientError
from qmig.rpc.call import Call
from qmig.sources.milvus.connection import MilvusConnection, PartitionGoneError, ResultTooLargeError
from qmig.sources.milvus.messages import milvus

Result = TypeVar("Result")
Steps = Generator[milvus.QueryRequest, Any, Result]


class RangeRead(Generic[Result]):
    """A read in the background: it waits for one step after another until there is a result."""

    def __init__(self, server: MilvusConnection, steps: Steps[Result]) -> None:
        self._server = server
        self._steps = steps
        self._result: Result | None = None
        # The request of the step under way, and its answer once it arrives.
        self._request: milvus.QueryRequest | None = None
        self._call: Call[bytes] | None = None
        self._failed: QmigError | None = None
        self._take(None, None)

    def wait(self, seconds: float) -> bool:
        deadline = time.monotonic() + seconds
        while self._call is not None:
            if not self._call.wait(max(0.0, deadline - time.monotonic())):
                return False
            self._take_answer()
        return True

    def result(self) -> Result:
        while self._call is not None:
            self._take_answer()
        if self._failed is not None:
            raise self._failed
        assert self._result is not None
        return self._result

    @property
    def can_go_on(self) -> bool:
        """Whether a transient error has ended the read, so that the same request may be answered now.

        A request that names a partition which is gone never is: the next read names those that there are.
        """
        is_transient = isinstance(self._failed, TransientError) and not isinstance(self._failed, PartitionGoneError)
        return is_transient and self._request is not None

    def go_on(self) -> Self:
        """Send the request again that a transient error has ended; the answers before it are kept."""
        assert self._request is not None
        self._failed = None
        self._call = self._server.start_query(self._request)
        return self

    def _take_answer(self) -> None:
        """Read the answer that has arrived, and take the next step."""
        assert self._call is not None
        answer: Any = None
        refused: ResultTooLargeError | None = None
        try:
            answer = self._server.results(self._call.result())
        except ResultTooLargeError as error:
            refused = error
        except QmigError as error:
            self._call, self._failed = None, error
            return
        self._take(answer, refused)

    def _take(self, answer: Any, refused: ResultTooLargeError | None) -> None:
        self._call = None
        try:
            request = self._steps.send(answer) if refused is None else self._steps.throw(refused)
        except StopIteration as stop:
            self._result = stop.value
        except QmigError as error:
            self._failed = error
        else:
            self._request, self._call = request, self._server.start_query(request)
