"""Stands in front of a server and does to its clients what networks and servers do on a bad day.

A proxy knows requests and answers, of HTTP (`S3Proxy`) or of MongoDB's wire protocol (`MongoProxy`), and nothing of
what is tested. Which request gets which fault is written down as rules, so that a test is the same each time.
"""

from __future__ import annotations

import asyncio
import random
import re
import struct
import threading
from abc import ABC, abstractmethod
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.client import HTTPConnection
from typing import Any
from urllib.parse import unquote

import bson

When = Callable[[int], bool]  # number of the matching request, from 1 → whether it gets the fault
PIECES_PER_SECOND = 50  # in which a throttled answer comes


def nth(*numbers: int) -> When:
    return lambda number: number in numbers


def every(step: int) -> When:
    return lambda number: number % step == 0


def always(number: int) -> bool:
    return True


def now_and_then(share: float, seed: int) -> When:
    """A share of the requests, drawn by lot: the same ones for the same seed."""
    return lambda number: random.Random(seed * 1_000_003 + number).random() < share


# What can be done to a request. Where bytes are counted, they are those of a body.


@dataclass(frozen=True)
class Refused:
    """The server answers with this error instead of doing anything."""

    code: str | int
    status: int = 503


@dataclass(frozen=True)
class Cut:
    """The connection breaks after so many bytes of the answer."""

    after: int = 0


@dataclass(frozen=True)
class CutRequest:
    """The connection breaks after so many bytes of the request, of which nothing takes effect."""

    after: int = 0


@dataclass(frozen=True)
class AnswerLost:
    """What was asked for is done, and the connection breaks before anything of the answer arrives."""


@dataclass(frozen=True)
class Shortened:
    """An answer that ends early and says that this was all."""

    after: int


@dataclass(frozen=True)
class Garbled:
    """An answer of the right length with a wrong byte in it."""

    at: int


@dataclass(frozen=True)
class Hang:
    """No answer, and the connection stays."""


@dataclass(frozen=True)
class Delay:
    """The answer comes so many seconds late."""

    seconds: float


@dataclass(frozen=True)
class Throttled:
    """The answer comes with so many bytes a second."""

    bytes_per_second: int


@dataclass(frozen=True)
class Before:
    """Something else happens just before the server gets the request."""

    do: Callable[[], object]


Fault = Refused | Cut | CutRequest | AnswerLost | Shortened | Garbled | Hang | Delay | Throttled | Before


@dataclass
class _Rule:
    pattern: re.Pattern[str]
    fault: Fault
    when: When
    matched: int = 0
    done: int = 0


class _BrokenError(Exception):
    """The connection to the client is to be broken."""


@dataclass
class Proxy(ABC):
    """Listens on a free port of 127.0.0.1 once started. Faults are added and taken away while it runs."""

    host: str
    port: int
    listens_on: int = 0
    names: list[str] = field(default_factory=list)  # of all requests, in order
    _rules: list[_Rule] = field(default_factory=list)
    _writers: set[asyncio.StreamWriter] = field(default_factory=set)
    _server: asyncio.Server | None = None
    _loop: asyncio.AbstractEventLoop = field(default_factory=asyncio.new_event_loop)

    @contextmanager
    def running(self) -> Iterator[Proxy]:
        thread = threading.Thread(target=self._loop.run_forever, name="proxy", daemon=True)
        thread.start()
        self.come_back()
        try:
            yield self
        finally:
            self.go_down()
            self._call(self._end_all())
            self._loop.call_soon_threadsafe(self._loop.stop)
            thread.join()
            self._loop.close()

    def go_down(self) -> None:
        """Refuses connections, and breaks those that are open."""
        self._call(self._close())

    def come_back(self) -> None:
        self._call(self._open())

    @contextmanager
    def fault(self, pattern: str, fault: Fault, when: When = always) -> Iterator[_Rule]:
        """Does this to the requests whose name the pattern is found in, as long as the context lasts."""
        rule = _Rule(re.compile(pattern), fault, when)
        self._rules.append(rule)
        try:
            yield rule
        finally:
            self._rules.remove(rule)

    def _call(self, work: Coroutine[Any, Any, None]) -> None:
        asyncio.run_coroutine_threadsafe(work, self._loop).result(30)

    async def _open(self) -> None:
        if self._server is None:
            self._server = await asyncio.start_server(self._serve, "127.0.0.1", self.listens_on)
            self.listens_on = self._server.sockets[0].getsockname()[1]

    async def _close(self) -> None:
        if self._server is not None:
            self._server.close()
            self._server = None
        for writer in list(self._writers):
            writer.transport.abort()

    async def _end_all(self) -> None:
        tasks = asyncio.all_tasks() - {asyncio.current_task()}
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers.add(writer)
        try:
            await self._talk(reader, writer)
        except (_BrokenError, OSError, EOFError):
            writer.transport.abort()
        except asyncio.CancelledError:  # the proxy ends
            writer.transport.abort()
        finally:
            self._writers.discard(writer)
            with suppress(OSError):
                writer.close()

    @abstractmethod
    async def _talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Serves one connection until it ends."""

    def _faults_of(self, name: str) -> list[Fault]:
        self.names.append(name)
        found = []
        for rule in self._rules:
            if rule.pattern.search(name):
                rule.matched += 1
                if rule.when(rule.matched):
                    rule.done += 1
                    found.append(rule.fault)
        return found

    async def _prepare(self, faults: list[Fault]) -> None:
        """What happens before the server gets a request."""
        for fault in faults:
            if isinstance(fault, Before):
                await asyncio.to_thread(fault.do)
            elif isinstance(fault, Delay):
                await asyncio.sleep(fault.seconds)
            elif isinstance(fault, Hang):
                await asyncio.Event().wait()

    async def _send(self, writer: asyncio.StreamWriter, head: bytes, body: bytes, faults: list[Fault]) -> None:
        """Sends an answer, whole or as far as the faults let it."""
        if any(isinstance(fault, AnswerLost) for fault in faults):
            raise _BrokenError
        writer.write(head)
        cut = next((fault.after for fault in faults if isinstance(fault, Cut)), None)
        rate = next((fault.bytes_per_second for fault in faults if isinstance(fault, Throttled)), None)
        sent = body if cut is None else body[:cut]
        piece = len(sent) if rate is None else max(1, rate // PIECES_PER_SECOND)
        for start in range(0, len(sent), max(1, piece)):
            writer.write(sent[start : start + piece])
            await writer.drain()
            if rate is not None:
                await asyncio.sleep(piece / rate)
        await writer.drain()
        if cut is not None:
            await asyncio.sleep(0.02)  # what was sent arrives before the end does
            raise _BrokenError


class S3Proxy(Proxy):
    """Of HTTP. A request's name is `GET /bucket/key?query`, without percent-encoding."""

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.listens_on}"

    async def _talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while head := await _http_head(reader):
            line, *lines = head.decode("latin-1").split("\r\n")
            method, target, _ = line.split(" ", 2)
            headers = dict(each.split(": ", 1) for each in lines if each)
            faults = self._faults_of(f"{method} {unquote(target)}")
            if _taken_out(headers, "expect"):
                writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
            await _read_of_request(reader, faults)
            body = await _http_body(reader, headers)
            await self._prepare(faults)
            refused = next((fault for fault in faults if isinstance(fault, Refused)), None)
            if refused:
                status, answered, found = refused.status, _s3_error(refused), {"Content-Type": "application/xml"}
            else:
                status, answered, found = await asyncio.to_thread(self._ask, method, target, body, headers)
            length = found.pop("content-length", str(len(answered))) if method == "HEAD" else None
            answered = _changed(answered, faults)
            found |= {"Content-Length": length or str(len(answered))}
            text = "".join(f"{name}: {value}\r\n" for name, value in found.items())
            await self._send(writer, f"HTTP/1.1 {status} .\r\n{text}\r\n".encode("latin-1"), answered, faults)

    def _ask(self, method: str, target: str, body: bytes, headers: dict[str, str]) -> tuple[int, bytes, dict[str, str]]:
        connection = HTTPConnection(self.host, self.port)
        try:
            connection.request(method, target, body, headers)
            answer = connection.getresponse()
            hop = ("connection", "transfer-encoding", "keep-alive", "server")
            found = {name.lower(): value for name, value in answer.getheaders() if name.lower() not in hop}
            answered = answer.read()
            if method != "HEAD":
                found.pop("content-length", None)
            return answer.status, answered, found
        finally:
            connection.close()


async def _http_head(reader: asyncio.StreamReader) -> bytes:
    try:
        return (await reader.readuntil(b"\r\n\r\n"))[:-4]
    except asyncio.IncompleteReadError:
        return b""


async def _read_of_request(reader: asyncio.StreamReader, faults: list[Fault]) -> None:
    for fault in faults:
        if isinstance(fault, CutRequest):
            if fault.after:
                await reader.readexactly(fault.after)
            raise _BrokenError


async def _http_body(reader: asyncio.StreamReader, headers: dict[str, str]) -> bytes:
    """The body as it is to be handed on; a chunked one is put together."""
    if _taken_out(headers, "transfer-encoding"):
        parts = []
        while size := int((await reader.readuntil(b"\r\n")).split(b";")[0], 16):
            parts.append((await reader.readexactly(size + 2))[:-2])
        await reader.readuntil(b"\r\n")
        return b"".join(parts)
    lengths = [value for name, value in headers.items() if name.lower() == "content-length"]
    return await reader.readexactly(int(lengths[0])) if lengths else b""


def _taken_out(headers: dict[str, str], wanted: str) -> str | None:
    for name in [name for name in headers if name.lower() == wanted]:
        return headers.pop(name)
    return None


def _s3_error(refused: Refused) -> bytes:
    text = f"<Error><Code>{refused.code}</Code><Message>by the test</Message><RequestId>1</RequestId></Error>"
    return f'<?xml version="1.0" encoding="UTF-8"?>\n{text}'.encode()


def _changed(body: bytes, faults: list[Fault]) -> bytes:
    for fault in faults:
        if isinstance(fault, Shortened):
            body = body[: fault.after]
        elif isinstance(fault, Garbled):
            body = body[: fault.at] + bytes([body[fault.at] ^ 0x55]) + body[fault.at + 1 :]
    return body


class MongoProxy(Proxy):
    """Of MongoDB's wire protocol. A request's name is its command and what that is about: `insert entries`."""

    @property
    def url(self) -> str:
        return f"mongodb://127.0.0.1:{self.listens_on}/"

    async def _talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        server, to_server = await asyncio.open_connection(self.host, self.port)
        try:
            while message := await _message(reader):
                command = _command(message)
                faults = self._faults_of(f"{next(iter(command))} {next(iter(command.values()))}")
                if any(isinstance(fault, CutRequest) for fault in faults):
                    raise _BrokenError
                await self._prepare(faults)
                refused = next((fault for fault in faults if isinstance(fault, Refused)), None)
                if refused:
                    answer = _error_answer(message, refused)
                else:
                    to_server.write(message)
                    answer = await _message(server)
                await self._send(writer, b"", answer, faults)
        finally:
            to_server.transport.abort()


_HEADER = struct.Struct("<iiii")  # length, id, id that is answered, kind
_OP_MSG = 2013


async def _message(reader: asyncio.StreamReader) -> bytes:
    try:
        head = await reader.readexactly(_HEADER.size)
    except asyncio.IncompleteReadError:
        return b""
    return head + await reader.readexactly(_HEADER.unpack(head)[0] - _HEADER.size)


def _command(message: bytes) -> dict[str, Any]:
    """The command of an OP_MSG: its body, without documents that follow it. Of the older greeting, only its name."""
    if _HEADER.unpack_from(message)[3] != _OP_MSG:
        return {"greeting": ""}
    start = _HEADER.size + 5  # flags, and the kind of the first section
    (length,) = struct.unpack_from("<i", message, start)
    return bson.decode(message[start : start + length])


def _error_answer(message: bytes, refused: Refused) -> bytes:
    code, _, name = str(refused.code).partition(" ")
    document = bson.encode({"ok": 0.0, "errmsg": "by the test", "code": int(code), "codeName": name})
    body = struct.pack("<ib", 0, 0) + document
    number = _HEADER.unpack_from(message)[1]
    return _HEADER.pack(_HEADER.size + len(body), number + 1, number, _OP_MSG) + body
