"""How qmig joins Flower: a page among its handlers, an entry in its navigation, gauges in its registry.

Flower has no way in for pages of others. What is relied on here is Flower's list of handlers and its settings in
`flower.urls`, which it hands to Tornado when it starts, and one `</ul>` in its navigation bar.
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
# Flower's first list in the bar is that of its pages; the entry goes to its end.
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
    """Flower's templates and qmig's, and the entry in Flower's navigation."""

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
                log.warning("this Flower's navigation is not as expected: the page is at /migrations all the same")
        return Template(text, name=name, loader=self)


def install(feed: Feed | None) -> None:
    """Add page and gauges to the Flower that this process is going to start; no `feed` is no ledger to show."""
    gauges = metrics.register(feed)
    handlers = [
        url(r"/metrics", metrics.Metrics, {"gauges": gauges}),
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
    # Before Flower's own: the first that fits is taken.
    urls.handlers[:0] = handlers
    urls.settings["template_loader"] = Templates()
    urls.settings["migrations_version"] = _version()


def _version() -> str:
    """Changes with the page's script and style, so that no browser keeps old ones."""
    return hashlib.sha256(b"".join(path.read_bytes() for path in sorted(STATIC.iterdir()))).hexdigest()[:12]
