"""The receivers of alerts: a webhook and mail.

A receiver either takes a message or raises one sentence without any secret: it contains neither url nor password.
"""

from __future__ import annotations

import ipaddress
import json
import smtplib
import ssl
import urllib.error
import urllib.request
from collections.abc import Sequence
from email.message import EmailMessage
from email.utils import formatdate, make_msgid
from http.client import HTTPException
from typing import IO, Any, Protocol
from urllib.parse import unquote, urlsplit

from ingest.errors import TransientError
from orchestration.alerts.alert import Notice, message, plain, summary
from orchestration.settings import Settings

SECONDS = 10
LONGEST_SUBJECT = 150


class DeliveryError(TransientError):
    """A receiver did not take a message; it is tried again. `is_refusal`: it answered that it refuses this message."""

    def __init__(self, message: str, is_refusal: bool = False) -> None:
        super().__init__(message)
        self.is_refusal = is_refusal


class Receiver(Protocol):
    name: str

    def send(self, notices: Sequence[Notice]) -> None:
        """Sends one message. Raises DeliveryError if the receiver does not take it."""


def receivers_of(settings: Settings) -> list[Receiver]:
    """The receivers that the settings name."""
    found: list[Receiver] = []
    if settings.alert_webhook_url:
        found.append(Webhook(settings))
    if settings.alert_email_to:
        found.append(Email(settings))
    return found


class _NoRedirects(urllib.request.HTTPRedirectHandler):
    """Follows no redirect, because it would send alerts to any host that the answer names."""

    def redirect_request(self, req: Any, fp: IO[bytes], code: int, msg: str, headers: Any, newurl: str) -> None:
        return None


class Webhook:
    """Posts JSON: `text`, which Slack and Mattermost show, and `alerts` with fields for programs."""

    name = "webhook"

    def __init__(self, settings: Settings) -> None:
        assert settings.alert_webhook_url is not None
        self._url = settings.alert_webhook_url.get_secret_value()

    def send(self, notices: Sequence[Notice]) -> None:
        body = {"text": _escaped(message(notices)), "alerts": [notice.fields() for notice in notices]}
        post_json(self._url, json.dumps(body), "the webhook")


def post_json(url: str, body: str, receiver: str, headers: dict[str, str] | None = None) -> None:
    """Sends one POST without following redirects.

    Raises:
        DeliveryError: names the receiver and the status or the kind of error; never the url, which may be a secret.
    """
    request = urllib.request.Request(  # noqa: S310 - the settings allow http and https alone
        url,
        data=body.encode(),
        headers={"Content-Type": "application/json", "User-Agent": "clicklake", **(headers or {})},
        method="POST",
    )
    try:
        with urllib.request.build_opener(_NoRedirects).open(request, timeout=SECONDS):
            pass
    except urllib.error.HTTPError as error:
        error.close()
        hint = " (redirects are not followed)" if 300 <= error.code < 400 else ""
        raise DeliveryError(f"{receiver} answered {error.code}{hint}", error.code in (400, 413, 422)) from None
    except (OSError, HTTPException, ValueError) as error:
        reason = getattr(error, "reason", error)
        raise DeliveryError(f"{receiver} cannot be reached ({type(reason).__name__})") from None


def _escaped(text: str) -> str:
    """Escapes characters that chats read as markup or mentions, because ids come from the internet."""
    return (
        text.replace("&", "&amp;")
        .replace("<", "&lt;")
        .replace(">", "&gt;")
        .replace("@", "@\u200b")
        .replace("](", "]\u200b(")
    )


class Email:
    """Sends one plain mail to all addresses, over TLS if the server offers it. Without TLS it sends a password only to
    this machine."""

    name = "email"

    def __init__(self, settings: Settings) -> None:
        assert settings.smtp_url is not None
        assert settings.alert_email_to is not None
        self._url = urlsplit(settings.smtp_url.get_secret_value())
        self._to = [address.strip() for address in settings.alert_email_to.split(",") if address.strip()]
        self._from = str(settings.alert_email_from)

    def send(self, notices: Sequence[Notice]) -> None:
        try:
            with self._connected() as server:
                server.send_message(self._message(notices), self._from, self._to)
        except smtplib.SMTPResponseException as error:
            raise DeliveryError(f"the mail server answered {error.smtp_code}") from None
        except (OSError, smtplib.SMTPException, ValueError) as error:
            raise DeliveryError(f"the mail could not be sent ({type(error).__name__})") from None

    def _message(self, notices: Sequence[Notice]) -> EmailMessage:
        mail = EmailMessage()
        mail["From"], mail["To"] = self._from, ", ".join(self._to)
        mail["Subject"] = plain(summary(notices), LONGEST_SUBJECT)
        mail["Date"], mail["Message-ID"] = formatdate(), make_msgid(domain="clicklake")
        mail.set_content(message(notices))
        return mail

    def _connected(self) -> smtplib.SMTP:
        host, secure = str(self._url.hostname), self._url.scheme.lower() == "smtps"
        context = ssl.create_default_context()
        if secure:
            server: smtplib.SMTP = smtplib.SMTP_SSL(host, self._url.port or 465, timeout=SECONDS, context=context)
        else:
            server = smtplib.SMTP(host, self._url.port or 587, timeout=SECONDS)
        try:
            server.ehlo()
            if not secure and server.has_extn("starttls"):
                server.starttls(context=context)
                server.ehlo()
                secure = True
            self._log_in(server, secure or _is_loopback(host))
        except BaseException:
            server.close()
            raise
        return server

    def _log_in(self, server: smtplib.SMTP, is_private: bool) -> None:
        if self._url.username is None:
            return
        if not is_private:
            raise DeliveryError("the mail server offers no TLS: its password is not sent in the clear. Use smtps://")
        server.login(unquote(self._url.username), unquote(self._url.password or ""))


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
