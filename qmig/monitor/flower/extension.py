"""Install qmig's page, its navigation entry and its metrics in Flower.

Flower has no interface for further pages. This module relies on the list of handlers and the settings in
`flower.urls`, which Flower passes to Tornado when it starts, and on one `</ul>` in its navigation bar.
"""

import hashlib
import logging
from pathlib import Path

import flower
from flower import urls
from tornado.template import Loader, Template
from tornado.web import StaticFileHandler, url

from qmig.monitor.flower import metrics, page
from qmig.monitor.flower.feed import Feed

HERE = Path(__file__).parent
TEMPLATES, STATIC = HERE / "templates", HERE / "static"
FLOWERS_TEMPLATES = Path(flower.__file__).parent / "templates"

NAVIGATION = "navbar.html"
# The first list in Flower's navigation bar holds its pages; qmig's entry is the last of them.
END_OF_PAGES = "</ul>"
ENTRY = """
        <li class="nav-item">
          <a class="nav-link{% if active_tab == 'migrations' %} active{% end %}"
            href="{{ reverse_url('migrations') }}"
            {% if active_tab == 'migrations' %}aria-current="page"{% end %}>Migrations</a>
        </li>
      """

log = logging.getLogger(__name__)


class Templates(Loader):
    """Loads Flower's templates and qmig's, and adds qmig's entry to Flower's navigation."""

    def __init__(self) -> None:
        super().__init__(str(FLOWERS_TEMPLATES))

    def _create_template(self, name: str) -> Template:
        own = TEMPLATES / name
        text = (own if own.exists() else FLOWERS_TEMPLATES / name).read_text(encoding="utf-8")
        if name == NAVIGATION:
            before, end, after = text.partition(END_OF_PAGES)
            if end:
                text = f"{before}{ENTRY}{end}{after}"
            else:
                log.warning("this version of Flower has another navigation bar: open the page at /migrations")
        return Template(text, name=name, loader=self)


def install(feed: Feed | None) -> None:
    """Add a page, a navigation entry and metrics to the Flower that this process will start.

    Without a `feed` there is no ledger, and the page says how to give one.
    """
    collector = metrics.register(feed)
    handlers = [
        url(r"/metrics", metrics.MetricsHandler, {"collector": collector}),
        url(r"/migrations", page.MigrationsHandler, {"feed": feed}, name="migrations"),
        url(r"/migrations/static/(.*)", StaticFileHandler, {"path": str(STATIC)}, name="migrations-static"),
    ]
    if feed is not None:
        feed.start()
        handlers += [
            url(r"/migrations/data", page.DataHandler, {"feed": feed}),
            url(r"/migrations/([0-9a-f-]{36})/chunks/([0-9]+)", page.ChunkHandler, {"feed": feed}),
            url(r"/migrations/([0-9a-f-]{36})/(pause|resume|throttle|cancel)", page.ControlHandler, {"feed": feed}),
        ]
    # Before Flower's own handlers: Tornado takes the first that matches.
    urls.handlers[:0] = handlers
    urls.settings["template_loader"] = Templates()
    urls.settings["migrations_version"] = _version()


def _version() -> str:
    """A hash of the page's script and style, so that no browser uses cached ones of another version."""
    return hashlib.sha256(b"".join(path.read_bytes() for path in sorted(STATIC.iterdir()))).hexdigest()[:12]
