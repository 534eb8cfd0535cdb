"""The page Migrations: its handlers. They follow Flower's rules: pages for whoever may see Flower's, actions only
where its API is open."""

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
from qmig.ledger.ledger import Ledger
from qmig.ledger.records import MigrationRecord
from qmig.monitor.flower.feed import Feed
from qmig.monitor.status import ChunkStatus

WITHOUT_AUTHENTICATION = (
    "without authentication nobody can pause, resume, throttle or cancel here: start `qmig flower` with --basic-auth "
    "or $FLOWER_BASIC_AUTH"
)
READ_ONLY = "Flower is in its read-only mode"


class MigrationsHandler(BaseHandler):  # type: ignore[misc]
    """The page; its script fetches the rest."""

    def initialize(self, feed: Feed | None) -> None:
        self._feed = feed

    @tornado.web.authenticated
    def get(self) -> None:
        """Render it."""
        self.render("migrations.html", ledger=self._feed and self._feed.place, locked=self._locked())

    def _locked(self) -> str | None:
        """Why there are no actions, if so."""
        options = self.application.options
        if options.read_only:
            return READ_ONLY
        is_open = options.basic_auth or options.auth or self.unauthenticated_api
        return None if is_open else WITHOUT_AUTHENTICATION


class DataHandler(BaseHandler):  # type: ignore[misc]
    """Every migration as it stands, as JSON."""

    def initialize(self, feed: Feed) -> None:
        self._feed = feed

    @tornado.web.authenticated
    def get(self) -> None:
        """The feed's last look; costs the same for one browser and for many."""
        self.set_header("Content-Type", "application/json")
        self.set_header("Cache-Control", "no-store")
        self.write(self._feed.last.json)


class ChunkHandler(BaseHandler):  # type: ignore[misc]
    """One chunk as it stands, and its last task that Flower knows, as JSON."""

    def initialize(self, feed: Feed) -> None:
        self._feed = feed

    @tornado.web.authenticated
    async def get(self, migration: str, index: str) -> None:
        """Read it from the ledger."""
        chunk, record = await run_in_thread(self, partial(self._feed.chunk, migration, int(index)))
        shown = {
            **asdict(ChunkStatus.of(chunk)),
            "title": chunk_title(record, chunk),
            "task": self._task(record.title, f"chunk {chunk.index + 1:,}/", chunk_range(record, chunk)),
        }
        self.set_header("Content-Type", "application/json")
        self.write(json.dumps(shown, ensure_ascii=False))

    def _task(self, migration: str, beginning: str, end: str) -> str | None:
        """The task with these arguments that was heard of last: what `qmig.broker.task.task_repr` makes of a chunk.

        The plan may have grown since the task was queued, so that the number of chunks tells nothing.
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
        """Always with the token, also where Flower itself would do without."""
        super().check_xsrf_cookie()
        tornado.web.RequestHandler.check_xsrf_cookie(self)

    @tornado.web.authenticated
    async def post(self, migration: str, action: str) -> None:
        """Write the order into the ledger; workers see it with their next beat."""
        if self.application.options.read_only:
            raise tornado.web.HTTPError(HTTPStatus.FORBIDDEN, READ_ONLY)
        await run_in_thread(self, partial(self._feed.steer, migration, self._order(action)))
        self.set_status(HTTPStatus.NO_CONTENT)

    def _order(self, action: str) -> Callable[[Ledger, MigrationRecord], None]:
        if action != "throttle":
            orders = {"pause": control.pause, "resume": control.resume, "cancel": control.cancel}
            return orders[action]
        given = self.get_body_argument("max_rate", "")
        if not given.isascii() or not given.isdigit():
            raise tornado.web.HTTPError(
                HTTPStatus.BAD_REQUEST, f"a limit is a whole number of points a second, 0 for none, not {given!r}"
            )
        return partial(control.throttle, max_rate=int(given) or None)


async def run_in_thread(handler: BaseHandler, call: Callable[[], Any]) -> Any:
    """Run what asks a server in a thread; an error of qmig's is the answer, in its one line."""
    try:
        return await handler.application.io_loop.run_in_executor(None, call)
    except QmigError as error:
        raise tornado.web.HTTPError(HTTPStatus.CONFLICT, str(error)) from None
