"""A request under way."""

from collections.abc import Callable
from concurrent.futures import Future
from concurrent.futures import wait as wait_for
from typing import Generic, TypeVar

Response = TypeVar("Response")


class Call(Generic[Response]):
    """A request under way in a thread."""

    def __init__(self, future: Future[Response], translate: Callable[[Exception], Exception]) -> None:
        """`translate` returns what a failure is raised as: TransientError where trying again may help."""
        self._future = future
        self._translate = translate

    def wait(self, seconds: float) -> bool:
        """Wait for the answer, at most `seconds`; whether it has arrived."""
        return bool(wait_for((self._future,), seconds).done)

    def cancel(self) -> None:
        """Give the request up."""
        self._future.cancel()

    def result(self) -> Response:
        """Wait for the answer; a failure is raised as `translate` returns it."""
        try:
            return self._future.result()
        except Exception as error:
            translated = self._translate(error)
            if translated is error:
                raise
            raise translated from None
