"""A broker's URL means the same to every library; whatever else is given is refused in one line."""

import contextlib

import pytest
from celery import Celery
from hypothesis import example, given
from hypothesis import strategies as st

from qmig.broker.fleet import Fleet
from qmig.broker.url import PARAMETERS, BrokerUrl
from qmig.errors import UsageError

SENTINELS = "sentinel://:geheim@a;sentinel://b:1/2?master_name=mine"


@pytest.mark.parametrize(
    ("url", "checks"),
    [
        ("rediss://a", "required"),
        ("rediss://a?ssl_ca_certs=/ca.pem", "required"),
        ("rediss://a?ssl_cert_reqs=CERT_REQUIRED", "required"),
        ("rediss://a?ssl_cert_reqs=optional", "optional"),
        ("rediss://a?ssl_cert_reqs=CERT_NONE", "none"),
    ],
)
def test_certificates_are_checked_unless_it_says_otherwise(url: str, checks: str) -> None:
    settings = BrokerUrl.parse(url).celery_settings()["broker_use_ssl"]
    assert settings["ssl_cert_reqs"] == checks


def test_what_it_says_of_files_is_kept() -> None:
    url = BrokerUrl.parse("rediss://user:pa%2Fss@a:1/2?ssl_ca_certs=/a b.pem&ssl_certfile=/c.pem")
    assert (url.username, url.password, url.hosts, url.database) == ("user", "pa/ss", (("a", 1),), 2)
    assert url.tls == {"ssl_ca_certs": "/a b.pem", "ssl_certfile": "/c.pem", "ssl_cert_reqs": "required"}
    assert url.missing_file == "ssl_ca_certs=/a b.pem"


@pytest.mark.parametrize(
    ("url", "celerys", "options"),
    [
        ("redis://:geheim@a:1/2", "redis://:geheim@a:1/2", {}),
        ("redis://[::1]", "redis://[::1]:6379/0", {}),
        ("redis+socket:///run/redis.sock?db=5", "redis+socket:///run/redis.sock?virtual_host=5", {}),
        ("redis+socket://u:pw@/r.sock", "redis+socket://u:pw@/r.sock?virtual_host=0", {}),
        (SENTINELS, "sentinel://:geheim@a:26379/2;sentinel://:geheim@b:1/2", {"master_name": "mine"}),
    ],
)
def test_what_celery_gets(url: str, celerys: str, options: dict[str, str]) -> None:
    settings = BrokerUrl.parse(url).celery_settings()
    assert settings["broker_url"] == celerys
    assert settings["broker_transport_options"].items() >= options.items()


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("redis://user:geheim@a/1", "redis://***@a:6379/1"),
        ("redis://:gehe@im@a/1", "redis://***@a:6379/1"),
        ("rediss://:geheim@a?ssl_cert_reqs=none", "rediss://***@a:6379/0"),
        ("redis+socket://:geheim@/run/redis.sock", "redis+socket://***@/run/redis.sock"),
        (SENTINELS, "sentinel://***@a:26379/2;sentinel://***@b:1/2 (mine)"),
    ],
)
def test_no_password_is_shown(url: str, shown: str) -> None:
    parsed = BrokerUrl.parse(url)
    assert parsed.shown == shown
    assert "geheim" not in repr(parsed)
    assert "im" not in Celery(broker=parsed.celery_settings()["broker_url"]).connection().as_uri()


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("", "not a URL of a Redis"),
        ("a:6379", "not a URL of a Redis"),
        ("amqp://a", "not a URL of a Redis"),
        ("redis://", "not a URL with a host"),
        ("redis://a;redis://b", "not a URL with a host"),
        ("redis://a:0/0", "the port 0 is not between"),
        ("redis://a:70000/0", "the port 70000 is not between"),
        ("redis://a:port/0", "not a URL of a Redis"),
        ("redis://user:geheim", "redis://user:*** cannot be used: not a URL of a Redis"),
        ("redis://a\nb:1", "not a URL of a Redis"),
        ("redis://a/0?db=5", "has no parameter 'db'; the database is the path"),
        ("redis://a/0?socket_timeout=5", "has no parameter 'socket_timeout'"),
        ("redis://a/abc", "the database 'abc' is not a number"),
        ("redis://a/0/1", "the database '0/1' is not a number"),
        ("redis://:gehe/im@a", "percent-encoded"),
        ("redis://:gehe#im@a", "percent-encoded"),
        ("redis://[::x]", "no IPv6 address"),
        ("rediss://a?ssl_cert_reqs=maybe", "none of required"),
        ("rediss://a?ssl_check_hostname=maybe", "neither true nor false"),
        ("rediss://a?ssl_ca_data=x", "has no parameter 'ssl_ca_data'; it may have ssl_cert_reqs"),
        ("redis+socket://host/path", "it names no socket"),
        ("redis+socket://", "it names no socket"),
        ("redis+socket:///a?virtual_host=5", "has no parameter 'virtual_host'; it may have db"),
        ("sentinel://a:26379", "it names no master"),
        ("sentinel://a;redis://b?master_name=x", "not a URL of a Redis"),
        ("sentinel://a;?master_name=x", "not a URL of a Redis"),
    ],
)
def test_what_names_no_redis_is_refused_in_one_line(url: str, said: str) -> None:
    with pytest.raises(UsageError) as refused:
        Fleet(url)
    assert said in str(refused.value)
    assert "\n" not in str(refused.value)
    assert "gehe" not in str(refused.value)


hosts = st.sampled_from(["", "a", "[::1]", "[", "]", "a b", "a;b", "ä", "%41"]) | st.text(max_size=5)
texts = st.text(max_size=8)
urls = st.text() | st.builds(
    "{}://{}{}{}{}{}".format,
    st.sampled_from([*PARAMETERS, "REDIS", "amqp", ""]),
    st.just("") | st.builds("{}:{}@".format, texts, texts),
    hosts,
    st.just("") | st.builds(":{}".format, st.integers(-1, 70_000) | texts),
    st.just("") | st.builds("/{}".format, st.integers(-1, 20) | texts),
    st.just("")
    | st.builds("?{}={}".format, st.sampled_from(["db", "master_name", "ssl_cert_reqs", "ssl_ca_certs", "x"]), texts),
)


@given(urls)
@example("redis+socket:///\x00")
@example("redis://\ud800@a")
@example("sentinel://a;sentinel://b;?master_name=m")
@example("redis://a/" + "9" * 5000)
def test_any_text_is_a_url_that_every_library_takes_or_refused_in_one_line(text: str) -> None:
    try:
        url = BrokerUrl.parse(text)
    except ValueError:
        with pytest.raises(UsageError) as refused:
            Fleet(text)
        assert "\n" not in str(refused.value)
        return
    assert BrokerUrl.parse(str(url)) == url
    with contextlib.closing(url.client()):
        pass
    settings = url.celery_settings()
    connection = Celery(broker=settings["broker_url"]).connection()
    if not url.socket:
        assert (connection.hostname, connection.port or url.hosts[0][1]) == url.hosts[0]
        assert (connection.userid, connection.password) == (url.username, url.password)
        assert int(connection.virtual_host) == url.database
    assert url.password is None or len(url.password) < 4 or url.password not in url.shown.replace("***", "")
