"""Calls in the background."""

from collections.abc import Callable
from concurrent.futures import Future
from concurrent.futures import wait as wait_for
from typing import Generic, TypeVar

Response = TypeVar("Response")


class Call(Generic[Response]):
    """A request under way in a thread of its own."""

    def __init__(self, future: Future[Response], translate: Callable[[Exception], Exception]) -> None:
        """`translate` turns a failure into the error to raise: TransientError where a retry may succeed."""
        self._future = future
        self._translate = translate

    def wait(self, seconds: float) -> bool:
        """Wait for the answer, at most `seconds`; whether it has arrived."""
        return bool(wait_for((self._future,), seconds).done)

    def cancel(self) -> None:
        """Give the request up."""
        self._future.cancel()

    def result(self) -> Response:
        """Wait for the answer; raises what `translate` makes of a failure."""
        try:
            return self._future.result()
        except Exception as error:
            translated = self._translate(error)
            if translated is error:
                raise
            raise translated from None
