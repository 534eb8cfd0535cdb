"""A broker's URL means the same to every library, and certificates are unchecked only on request."""

import pytest

from qmig.broker.url import normalized, tls_settings


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
    settings = tls_settings(normalized(url))
    assert settings is not None
    assert settings["ssl_cert_reqs"] == checks
    assert normalized(normalized(url)) == normalized(url)


def test_what_it_says_of_files_is_kept() -> None:
    url = normalized("rediss://user:pa%2Fss@a:1/2?ssl_ca_certs=/a b.pem&ssl_certfile=/c.pem")
    assert url.startswith("rediss://user:pa%2Fss@a:1/2?")
    assert tls_settings(url) == {
        "ssl_ca_certs": "/a b.pem",
        "ssl_certfile": "/c.pem",
        "ssl_cert_reqs": "required",
    }


def test_without_tls_it_stays_as_it_is() -> None:
    assert normalized("redis://:geheim@a:1/2") == "redis://:geheim@a:1/2"
    assert tls_settings("redis://a") is None


@pytest.mark.parametrize("url", ["", "a:6379", "amqp://a", "redis://", "rediss://a?ssl_cert_reqs=maybe"])
def test_what_names_no_redis_is_refused(url: str) -> None:
    with pytest.raises(ValueError, match=r"redis://|none of required"):
        normalized(url)
