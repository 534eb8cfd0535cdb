"""The parts of Flower that qmig relies on: its list of handlers, its settings, its navigation."""

import re
from pathlib import Path

import flower
import pytest
from flower import urls
from flower.command import settings as settings_that_flower_takes
from flower.views.monitor import Metrics

from qmig.monitor.flower.extension import END_OF_PAGES, ENTRY, NAVIGATION, STATIC, TEMPLATES, Templates

FLOWERS = Path(flower.__file__).parent


def test_the_entry_stands_after_flowers_pages_in_its_navigation() -> None:
    bar = (FLOWERS / "templates" / NAVIGATION).read_text()
    pages = bar.partition(END_OF_PAGES)[0]

    assert re.findall(r"reverse_url\('(\w+)'\)", pages)[-1] == "broker"
    generated = Templates().load(NAVIGATION).code
    assert generated.index("reverse_url('broker')") < generated.index("reverse_url('migrations')")
    assert generated.index("reverse_url('migrations')") < generated.index("theme-toggle")


def test_the_entry_looks_like_flowers_own() -> None:
    bar = (FLOWERS / "templates" / NAVIGATION).read_text()
    own = re.search(r"<li class=\"nav-item\">\s*<a [^>]*reverse_url\('broker'\).*?</li>", bar, re.DOTALL)
    assert own is not None

    assert ENTRY.split() == own[0].replace("broker", "migrations").replace("Broker", "Migrations").split()


@pytest.mark.parametrize("name", ["base.html", "workers.html", "tasks.html", "task.html", "broker.html"])
def test_flowers_own_pages_are_still_made_of_its_own_templates(name: str) -> None:
    assert Templates().load(name).name == name
    assert not (TEMPLATES / name).exists()


def test_flower_starts_with_the_handlers_and_settings_that_are_added_to() -> None:
    assert settings_that_flower_takes is urls.settings
    assert "template_loader" not in urls.settings
    assert any(handler[1] is Metrics for handler in urls.handlers if isinstance(handler, tuple))


def test_the_page_uses_classes_and_variables_that_flowers_style_has() -> None:
    style = (FLOWERS / "static" / "css" / "flower.css").read_text()
    page = (STATIC / "migrations.css").read_text()

    assert set(re.findall(r"--flower-[a-z-]+", page)) <= set(re.findall(r"(--flower-[a-z-]+):", style))
    for name in ("detail-card", "detail-code", "page-section", "page-eyebrow", "refresh-status", "status-dot-live"):
        assert f".{name}" in style
