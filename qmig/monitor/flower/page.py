"""The handlers of the page Migrations.

They follow Flower's rules: whoever may see Flower's pages may see this one, and actions are allowed where its API is.
"""

import json
from collections.abc import Callable
from dataclasses import asdict
from functools import partial
from http import HTTPStatus
from typing import Any

import tornado.web
from flower.api import BaseApiHandler
from flower.views import BaseHandler

from qmig.broker.task import chunk_range, chunk_title
from qmig.errors import QmigError
from qmig.ledger import control
from qmig.ledger.cancel import cancel
from qmig.ledger.ledger import Ledger
from qmig.ledger.records import MigrationRecord
from qmig.monitor.flower.feed import Feed
from qmig.monitor.status import ChunkStatus

WITHOUT_AUTHENTICATION = (
    "to pause, resume, throttle or cancel here, Flower needs authentication: start `qmig flower` with --basic-auth "
    "or $FLOWER_BASIC_AUTH"
)
READ_ONLY = "Flower runs in its read-only mode"


class MigrationsHandler(BaseHandler):  # type: ignore[misc]
    """The page. Its script fetches the data."""

    def initialize(self, feed: Feed | None) -> None:
        self._feed = feed

    @tornado.web.authenticated
    def get(self) -> None:
        """Render the page."""
        self.render("migrations.html", ledger=self._feed and self._feed.ledger_title, locked=self._locked())

    def _locked(self) -> str | None:
        """Why actions are not allowed; None where they are."""
        options = self.application.options
        if options.read_only:
            return READ_ONLY
        is_open = options.basic_auth or options.auth or self.unauthenticated_api
        return None if is_open else WITHOUT_AUTHENTICATION


class DataHandler(BaseHandler):  # type: ignore[misc]
    """The status of every migration, as JSON."""

    def initialize(self, feed: Feed) -> None:
        self._feed = feed

    @tornado.web.authenticated
    def get(self) -> None:
        """Answer with the feed's last snapshot: many browsers cost no more reads of the ledger than one."""
        self.set_header("Content-Type", "application/json")
        self.set_header("Cache-Control", "no-store")
        self.write(self._feed.last.json)


class ChunkHandler(BaseHandler):  # type: ignore[misc]
    """The status of one chunk, and the last task of it that Flower knows, as JSON."""

    def initialize(self, feed: Feed) -> None:
        self._feed = feed

    @tornado.web.authenticated
    async def get(self, migration: str, index: str) -> None:
        """Read the chunk from the ledger."""
        chunk, record = await run_in_thread(self, partial(self._feed.chunk, migration, int(index)))
        shown = {
            **asdict(ChunkStatus.of(chunk)),
            "title": chunk_title(record, chunk),
            "task": self._task(record.title, f"chunk {chunk.index + 1:,}/", chunk_range(record, chunk)),
        }
        self.set_header("Content-Type", "application/json")
        self.write(json.dumps(shown, ensure_ascii=False))

    def _task(self, migration: str, beginning: str, end: str) -> str | None:
        """The newest task with these arguments, as `qmig.broker.task.task_repr` writes them.

        The number of chunks between `beginning` and `end` is not compared: the plan may have grown since.
        """
        found = [
            (task.timestamp, task.uuid)
            for _, task in self.application.events.state.tasks.items()
            if task.args == migration and (task.kwargs or "").startswith(beginning) and task.kwargs.endswith(end)
        ]
        return max(found)[1] if found else None


class ControlHandler(BaseApiHandler):  # type: ignore[misc]
    """Pause, resume, throttle or cancel a migration."""

    def initialize(self, feed: Feed) -> None:
        self._feed = feed

    def check_xsrf_cookie(self) -> None:
        """Require the token always, also where Flower would not."""
        super().check_xsrf_cookie()
        tornado.web.RequestHandler.check_xsrf_cookie(self)

    @tornado.web.authenticated
    async def post(self, migration: str, action: str) -> None:
        """Change the migration in the ledger; workers read it with their next heartbeat."""
        if self.application.options.read_only:
            raise tornado.web.HTTPError(HTTPStatus.FORBIDDEN, READ_ONLY)
        await run_in_thread(self, partial(self._feed.control, migration, self._command(action)))
        self.set_status(HTTPStatus.NO_CONTENT)

    def _command(self, action: str) -> Callable[[Ledger, MigrationRecord], object]:
        if action != "throttle":
            commands: dict[str, Callable[[Ledger, MigrationRecord], object]] = {
                "pause": control.pause,
                "resume": control.resume,
                "cancel": cancel,
            }
            return commands[action]
        given = self.get_body_argument("max_rate", "")
        if not given.isascii() or not given.isdigit():
            raise tornado.web.HTTPError(
                HTTPStatus.BAD_REQUEST,
                f"max_rate is {given!r}; give a whole number of points a second, or 0 for no limit",
            )
        return partial(control.throttle, max_rate=int(given) or None)


async def run_in_thread(handler: BaseHandler, call: Callable[[], Any]) -> Any:
    """Run a blocking call in a thread. Status 409 with the message where it raises a QmigError."""
    try:
        return await handler.application.io_loop.run_in_executor(None, call)
    except QmigError as error:
        raise tornado.web.HTTPError(HTTPStatus.CONFLICT, str(error)) from None
