"""What alerts are told to in tests: an HTTP server and a mail server on loopback that can be made to fail."""

from __future__ import annotations

import datetime as dt
import ipaddress
import json
import socketserver
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any


@dataclass
class HttpReceiver:
    """Takes every POST, and answers what it is told to: `status` for all, 200 without."""

    url: str = ""
    status: int = 200
    location: str | None = None
    paths: list[str] = field(default_factory=list)
    headers: list[dict[str, str]] = field(default_factory=list)
    bodies: list[Any] = field(default_factory=list)

    @property
    def taken(self) -> list[Any]:
        """The bodies of requests that were answered with 200."""
        return [body for status, body in self.bodies if status == 200]


@contextmanager
def http_receiver() -> Iterator[HttpReceiver]:
    receiver = HttpReceiver()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            receiver.paths.append(self.path)
            receiver.headers.append(dict(self.headers))
            receiver.bodies.append((receiver.status, json.loads(body)))
            self.send_response(receiver.status)
            if receiver.location:
                self.send_header("Location", receiver.location)
            self.send_header("Content-Length", "0")
            self.end_headers()

        do_GET = do_POST  # noqa: N815 - as the library names it

        def log_message(self, *arguments: Any) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        receiver.url = f"http://127.0.0.1:{server.server_port}"
        try:
            yield receiver
        finally:
            server.shutdown()
            thread.join()


@dataclass
class MailServer:
    """An SMTP server of few words. `refuses`: it answers every sender with a temporary error."""

    port: int = 0
    refuses: bool = False
    logins: list[str] = field(default_factory=list)
    recipients: list[str] = field(default_factory=list)
    mails: list[str] = field(default_factory=list)


def certificate(folder: Path) -> Path:
    """A certificate of 127.0.0.1 with its key, which nobody trusts by itself."""
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.x509.oid import NameOID

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "test")])
    now = dt.datetime.now(dt.UTC)
    address = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))])
    made = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(days=1))
        .not_valid_after(now + dt.timedelta(days=1))
        .add_extension(address, critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    path = folder / "certificate.pem"
    path.write_bytes(made.public_bytes(serialization.Encoding.PEM) + private)
    return path


@contextmanager
def mail_server(pem: Path | None = None, from_the_start: bool = False) -> Iterator[MailServer]:
    """With a certificate it offers STARTTLS, or talks TLS from the start."""
    state = MailServer()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    if pem:
        context.load_cert_chain(pem)

    class Handler(socketserver.StreamRequestHandler):
        def secure(self) -> None:
            self.connection = context.wrap_socket(self.connection, server_side=True)
            self.rfile, self.wfile = self.connection.makefile("rb"), self.connection.makefile("wb", 0)

        def handle(self) -> None:
            with suppress(OSError):  # the other side may not trust the certificate
                self.talk()

        def talk(self) -> None:
            if from_the_start:
                self.secure()
            self.say("220 test")
            while line := self.rfile.readline().decode().strip():
                verb = line.split(" ")[0].upper()
                if verb == "EHLO":
                    is_plain = not isinstance(self.connection, ssl.SSLSocket)
                    self.say("250-test\r\n" + ("250-STARTTLS\r\n" if pem and is_plain else "") + "250 AUTH PLAIN")
                elif verb == "STARTTLS":
                    self.say("220 go on")
                    self.secure()
                elif verb == "AUTH":
                    state.logins.append(line)
                    self.say("235 welcome")
                elif verb == "MAIL" and state.refuses:
                    self.say("451 not now")
                elif verb == "DATA":
                    self.say("354 go on")
                    state.mails.append(self.text())
                    self.say("250 taken")
                elif verb == "QUIT":
                    self.say("221 bye")
                    return
                else:
                    if verb == "RCPT":
                        state.recipients.append(line)
                    self.say("250 fine")

        def say(self, answer: str) -> None:
            self.wfile.write(f"{answer}\r\n".encode())

        def text(self) -> str:
            lines = []
            while (line := self.rfile.readline().decode().rstrip("\r\n")) != ".":
                lines.append(line)
            return "\n".join(lines)

    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        state.port = server.server_address[1]
        try:
            yield state
        finally:
            server.shutdown()
            thread.join()
