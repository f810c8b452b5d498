"""The client over TLS, against a server whose certificate is made for the test."""

import shutil
import ssl
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from kerazoo import http
from kerazoo.errors import InputError

pytestmark = pytest.mark.skipif(shutil.which("openssl") is None, reason="openssl makes the certificate")


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Certificate and key for 127.0.0.1, in one file."""
    folder = tmp_path_factory.mktemp("tls")
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2",
         "-keyout", "key.pem", "-out", "certificate.pem",
         "-subj", "/CN=test", "-addext", "subjectAltName=IP:127.0.0.1"],
        check=True, capture_output=True, cwd=folder,
    )  # fmt: skip
    both = folder / "both.pem"
    both.write_bytes((folder / "certificate.pem").read_bytes() + (folder / "key.pem").read_bytes())
    return both


@pytest.fixture
def site(certificate: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A server over TLS: `/hello`, `/down` to plain http, `/over` to itself, and `/drip`."""
    monkeypatch.setenv("NO_PROXY", "*")
    monkeypatch.delenv("KERAZOO_OFFLINE", raising=False)

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *_: object) -> None:
            pass

        def do_GET(self) -> None:
            target = {"/down": "http://127.0.0.1:9/", "/over": "/hello"}.get(self.path)
            self.send_response(302 if target else 200)
            if target:
                self.send_header("Location", target)
            self.send_header("Content-Length", "0" if target else "5")
            self.end_headers()
            for letter in b"" if target else b"hello":
                self.wfile.write(bytes([letter]))
                time.sleep(0.3 if self.path == "/drip" else 0)

    class Quiet(ThreadingHTTPServer):
        daemon_threads = True

        def handle_error(self, *_: object) -> None:
            pass

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    with Quiet(("127.0.0.1", 0), Handler) as server:
        server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        http._pool.cache_clear()  # Which certificates are trusted is read once.
        yield f"https://127.0.0.1:{server.server_port}"
        http._pool.cache_clear()
        server.shutdown()
        thread.join()


@pytest.fixture
def read(certificate: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., bytes]:
    """Reads as one who trusts the certificate."""
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    return lambda url, seconds=5.0: http.read(url, most_bytes=100, seconds=seconds)


def test_a_trusted_server_is_read_and_redirected_within(site, read):
    assert read(f"{site}/hello") == b"hello"
    assert read(f"{site}/over") == b"hello"


def test_no_redirect_leads_to_plain_http(site, read):
    with pytest.raises(InputError, match="from https to http"):
        read(f"{site}/down")


def test_a_drip_over_tls_is_left(site, read):
    with pytest.raises(InputError, match=r"not done within 0\.5 s"):
        read(f"{site}/drip", seconds=0.5)


def test_a_certificate_that_nobody_vouches_for_is_refused(site):
    with pytest.raises(InputError, match="certificate cannot be verified"):
        http.read(f"{site}/hello", most_bytes=100, seconds=5.0)
