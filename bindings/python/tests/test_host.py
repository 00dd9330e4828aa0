"""The store that a host names, and that any doubt is none."""

from __future__ import annotations

from typing import Any, Union

import pytest

import bpos
import bpos.asgi
import bpos.wsgi

LONGEST = "a" * 63


@pytest.mark.parametrize(
    ("host", "store"),
    [
        ("yourstore.brotherpos.ca", "yourstore"),
        ("YourStore.BrotherPOS.ca", "yourstore"),
        ("yourstore.brotherpos.ca:443", "yourstore"),
        ("yourstore.brotherpos.ca:", "yourstore"),
        ("yourstore.brotherpos.ca.", "yourstore"),
        ("YOURSTORE.brotherpos.ca.:8080", "yourstore"),
        ("your-store_2.brotherpos.ca", "your-store_2"),
        (f"{LONGEST}.brotherpos.ca", LONGEST),
    ],
)
def test_the_store_is_the_one_label_before_the_domain(host: str, store: str) -> None:
    assert bpos.store_of_host(host, "brotherpos.ca") == store
    assert bpos.store_of_host(host.encode(), "BrotherPOS.ca") == store
    assert bpos.asgi.store_of_host({"headers": [(b"host", host.encode())]}, "brotherpos.ca") == store
    assert bpos.wsgi.store_of_host({"HTTP_HOST": host}, "brotherpos.ca") == store


@pytest.mark.parametrize(
    "host",
    [
        None,
        "",
        ".",
        ":443",
        "brotherpos.ca",
        ".brotherpos.ca",
        "..brotherpos.ca",
        "yourstore..brotherpos.ca",
        "yourstore.brotherpos.ca..",
        "a.yourstore.brotherpos.ca",
        "yourstore",
        "yourstore.",
        "yourstore.brotherpos.com",
        "yourstore.brotherpos.ca.elsewhere.test",
        "yourstore.notbrotherpos.ca",
        "yourstorebrotherpos.ca",
        "127.0.0.1",
        "127.0.0.1:8080",
        "[::1]",
        "[::1]:8080",
        "[yourstore.brotherpos.ca]",
        "user@yourstore.brotherpos.ca",
        "user:password@yourstore.brotherpos.ca",
        "yourstore.brotherpos.ca:https",
        "yourstore.brotherpos.ca:443:443",
        "yourstore.brotherpos.ca:123456",
        "yourstore.brotherpos.ca:+443",
        "yourstore.brotherpos.ca:\u0664\u0664\u0663",
        "your%73tore.brotherpos.ca",
        "your store.brotherpos.ca",
        "yourstore .brotherpos.ca",
        "yourstore.brotherpos.ca ",
        "yourstore.brotherpos.ca\n",
        "yourstore.brotherpos.ca\0",
        "yourstore.brotherpos.ca,yourstore.brotherpos.ca",  # several headers, as WSGI servers join them
        "yourstore,otherstore.brotherpos.ca",
        "*.brotherpos.ca",
        "yourst\u00f6re.brotherpos.ca",
        "yourstore.brotherpos\u2024ca",
        f"{LONGEST}a.brotherpos.ca",
        b"\xff.brotherpos.ca",
        b"yourstore.brotherpos.ca\xff",
    ],
)
def test_a_host_that_is_not_one_label_before_the_domain_names_no_store(host: Union[str, bytes, None]) -> None:
    assert bpos.store_of_host(host, "brotherpos.ca") == ""
    assert bpos.store_of_host(host, "") == ""


def test_letters_beyond_ascii_are_not_folded_into_it() -> None:
    for host, domain in (("yourstore.\u212aiosk.test", "kiosk.test"), ("yourstore.kiosk.test", "\u212aiosk.test")):
        assert bpos.store_of_host(host, domain) == ""


def test_a_host_is_a_text() -> None:
    with pytest.raises(TypeError, match="^host must be str or bytes, not int$"):
        bpos.store_of_host(7, "brotherpos.ca")  # type: ignore[arg-type]


YOURS = (b"host", b"yourstore.brotherpos.ca")


@pytest.mark.parametrize(
    ("headers", "store"),
    [
        ([YOURS], "yourstore"),
        ([(b"Host", YOURS[1]), (b"x-api-key", b"")], "yourstore"),
        ([], ""),
        ([YOURS, YOURS], ""),
        ([YOURS, (b"host", b"otherstore.brotherpos.ca")], ""),
        ([YOURS, (b"HOST", b"")], ""),
        ([(b"x-forwarded-host", YOURS[1])], ""),
    ],
)
def test_an_asgi_scope_names_a_store_by_exactly_one_host(headers: Any, store: str) -> None:
    assert bpos.asgi.store_of_host({"headers": headers}, "brotherpos.ca") == store


def test_a_wsgi_environment_without_a_host_names_no_store() -> None:
    # SERVER_NAME is the server's own, and X-Forwarded-Host anybody's.
    environ = {"SERVER_NAME": "yourstore.brotherpos.ca", "HTTP_X_FORWARDED_HOST": "yourstore.brotherpos.ca"}
    assert bpos.wsgi.store_of_host(environ, "brotherpos.ca") == ""
