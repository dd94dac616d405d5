"""Generates large access logs for the benchmarks: a day of CloudFront logs with millions of lines, in about a minute.

Only quantity and variety matter here: every line is well formed. demo/traffic.py makes traffic with faults.

A day with N lines has:
- N/16 client addresses (one in five IPv6) and N/13 visitors; few visitors make most requests (density ~ rank^-2/3).
- 3,000 user agents, skewed; one in ten logged with two layers of percent-encoding, 3 % robots.
- 70 % ad requests over 6,000 placements (oid, cid, pid, ch, cr, s); 1 % of them clicks with one of 2,400 landing
  URLs; every impression has a random `cb`, so that nearly all query strings are distinct.
- 20,000 referring pages, 4,000 own pages, 800 assets; a request id of 56 characters that never repeats.
- About 550 bytes a line; zlib level 6.
"""

from __future__ import annotations

import argparse
import math
import os
import shutil
import tempfile
import zlib
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias
from urllib.parse import quote

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from ingest.schema import ACCESS_LOG_FIELDS

DAY = "2026-01-12"
DISTRIBUTION = "E2BENCHMARK000"
VERSION = 1  # raised when the lines change, so that an older cache is not used
SEED = 20260112

LINES_PER_ADDRESS = 16
VISITORS_PER_ADDRESS = 1.25
USER_AGENTS = 3_000
PLACEMENTS = 6_000
LANDINGS = 2_400
REFERRERS = 20_000
PAGES = 4_000
ASSETS = 800

IMPRESSION, CLICK, PAGE, ASSET = range(4)
KIND_SHARES = (0.693, 0.007, 0.08, 0.22)

HEADER = f"#Version: 1.0\n#Fields: {' '.join(ACCESS_LOG_FIELDS)}\n".encode()
REQUEST_ID_ALPHABET = np.frombuffer(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_", dtype=np.uint8)
# CloudFront logs these characters of a header as they are, and writes all others as %XX.
LOGGED_AS_IS = "!$&()*+,-./:;=?@_"

Text: TypeAlias = Any  # a pyarrow StringArray; pyarrow brings no types


def default_data_dir() -> Path:
    return Path(tempfile.gettempdir()) / "clicklake-bench"


def ensure_logs(data_dir: Path, lines: int, files: int) -> Path:
    """The folder with a day of `lines` lines in `files` objects. The first call makes it, later calls reuse it."""
    folder = data_dir / f"logs-v{VERSION}-{lines}-lines-{files}-files"
    if not folder.exists():
        data_dir.mkdir(parents=True, exist_ok=True)
        partial = Path(tempfile.mkdtemp(dir=data_dir, prefix="partial-"))
        try:
            write_logs(partial, lines, files)
            partial.rename(folder)
        finally:
            shutil.rmtree(partial, ignore_errors=True)
    return folder


def write_logs(folder: Path, lines: int, files: int) -> None:
    """Writes the objects with equal numbers of lines; busy hours have more objects."""
    folder.mkdir(parents=True, exist_ok=True)
    fragments = Fragments.for_lines(lines)
    hours = hours_of_files(files)
    bounds = np.linspace(0, lines, files + 1).astype(int)

    def write(index: int) -> None:
        rng = np.random.default_rng((SEED, files, index))
        count = int(bounds[index + 1] - bounds[index])
        unique = index * 2_654_435_761 % 2**32  # looks random and never repeats
        name = f"{DISTRIBUTION}.{DAY}-{hours[index]:02d}.{unique:08x}.gz"
        body = file_body(fragments, count, int(hours[index]), rng)
        (folder / name).write_bytes(gzipped(body))

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        for _ in pool.map(write, range(files)):
            pass


def hours_of_files(files: int) -> np.ndarray:
    """The hour of each object, in order. Fewest are at 4 o'clock, most at 16; from 24 files on, every hour has one."""
    every_hour = np.arange(24) if files >= 24 else np.arange(0)
    weight = 1.2 + np.cos((np.arange(24) - 16) / 24 * 2 * math.pi)
    rest = files - len(every_hour)
    by_weight = np.searchsorted(np.cumsum(weight) / weight.sum(), (np.arange(rest) + 0.5) / max(1, rest))
    return np.sort(np.concatenate([every_hour, by_weight]))


def gzipped(body: pa.Buffer) -> bytes:
    """One gzip member without a time in its header, so that the bytes are always the same."""
    compressor = zlib.compressobj(6, zlib.DEFLATED, 31)
    return compressor.compress(HEADER) + compressor.compress(body) + compressor.flush()


@dataclass(frozen=True)
class Fragments:
    """Prepared parts of lines. A line consists of about fifteen parts joined by tabs."""

    addresses: Text
    visitor_address: np.ndarray
    visitor_agent: np.ndarray
    agents: Text
    edges: Text
    requests: tuple[Text, ...]  # by kind: method, host, path, status
    tails: tuple[Text, ...]  # by kind: detailed result, content type, length, range
    connections: Text  # forwarded-for, TLS, result, HTTP version, field-level encryption
    hosts: Text  # host header and protocol
    results: Text  # cookie and result
    referrers: Text
    own_referrers: Text
    placements: Text
    landings: Text
    other_queries: Text
    numbers: Text
    seconds: Text

    @classmethod
    def for_lines(cls, lines: int) -> Fragments:
        rng = np.random.default_rng(SEED)
        addresses = max(1, lines // LINES_PER_ADDRESS)
        visitors = int(addresses * VISITORS_PER_ADDRESS)
        hits = [
            f"{result}\t{kind}\t{size}\t-\t-\n"
            for result in ("Hit", "Miss", "RefreshHit")
            for kind, size in (("text/html", 18211), ("text/html;%20charset=UTF-8", "-"))
        ]
        return cls(
            addresses=_addresses(rng, addresses),
            visitor_address=rng.permutation(np.arange(visitors) % addresses),
            visitor_agent=skewed(rng, USER_AGENTS, visitors, 3),
            agents=_user_agents(rng),
            edges=pa.array(
                [
                    f"{city}{n}-{kind}{m}"
                    for city in EDGE_CITIES
                    for n in (50, 52, 54)
                    for kind in "CP"
                    for m in (1, 2, 3)
                ]
            ),
            requests=(
                pa.array([f"GET\t{CLOUDFRONT_HOST}\t/pxl.png\t{status}" for status in [200] * 19 + [304]]),
                pa.array([f"GET\t{CLOUDFRONT_HOST}\t/c\t{status}" for status in [302] * 49 + [403]]),
                pa.array([f"{_method(n)}\t{CLOUDFRONT_HOST}\t{path}\t{_status(n)}" for n, path in enumerate(_pages())]),
                pa.array([f"GET\t{CLOUDFRONT_HOST}\t{path}\t{_status(n)}" for n, path in enumerate(_assets())]),
            ),
            tails=(
                pa.array(["Hit\timage/png\t95\t-\t-\n"] * 9 + ["Miss\timage/png\t95\t-\t-\n"]),
                pa.array(["Miss\ttext/html\t0\t-\t-\n"]),
                pa.array(hits),
                pa.array(
                    [
                        f"Hit\t{kind}\t{size}\t-\t-\n"
                        for kind in ("text/css", "image/webp", "application/javascript")
                        for size in range(900, 90_000, 900)
                    ]
                ),
            ),
            connections=pa.array(
                [
                    f"-\t{tls}\t{result}\t{version}\t-\t-"
                    for tls in TLS
                    for result in ("Hit", "Miss")
                    for version in ("HTTP/2.0", "HTTP/2.0", "HTTP/3.0", "HTTP/1.1")
                ]
            ),
            hosts=pa.array(["track.example.com\thttps"] * 30 + ["track.example.com\thttp", "www.example.com\thttps"]),
            results=pa.array(["-\tHit"] * 8 + ["-\tMiss", "-\tRefreshHit"]),
            referrers=_referrers(rng),
            own_referrers=pa.array(["-"] * 400 + [f"https://www.example.com{path}" for path in _pages()]),
            placements=_placements(rng),
            landings=_landings(),
            other_queries=pa.array(
                ["-"] * 40
                + [f"v={n}" for n in range(10)]
                + [f"utm_source=newsletter&utm_campaign=week%20{n}" for n in range(10)]
            ),
            numbers=pa.array([str(n) for n in range(65_536)]),
            seconds=pa.array([f"{n / 1000:.3f}" for n in range(1_000)]),
        )


CLOUDFRONT_HOST = "d111111abcdef8.cloudfront.net"
EDGE_CITIES = ("IAD", "ORD", "LAX", "SFO", "DFW", "ATL", "JFK", "SEA", "MIA", "FRA", "LHR", "CDG", "AMS", "ARN", "NRT")
TLS = (
    "TLSv1.3\tTLS_AES_128_GCM_SHA256",
    "TLSv1.3\tTLS_AES_128_GCM_SHA256",
    "TLSv1.3\tTLS_AES_256_GCM_SHA384",
    "TLSv1.2\tECDHE-RSA-AES128-GCM-SHA256",
)
PUBLICATIONS = tuple(
    f"{city}-{kind}"
    for city in ("chicago", "austin", "seattle", "denver", "portland", "boston", "miami", "dallas", "tampa", "omaha")
    for kind in ("reader", "times", "weekly", "news")
)


def file_body(fragments: Fragments, count: int, hour: int, rng: np.random.Generator) -> pa.Buffer:
    """`count` lines of one hour ordered by time, as the bytes of a file."""
    kinds = rng.choice(len(KIND_SHARES), size=count, p=KIND_SHARES)
    visitors = skewed(rng, len(fragments.visitor_agent), count, 3)
    times = pa.array([f"{DAY}\t{hour:02d}:{n // 60:02d}:{n % 60:02d}" for n in range(3600)])
    took = skewed(rng, len(fragments.seconds), count, 4)
    lines = pc.binary_join_element_wise(
        times.take(np.sort(rng.integers(0, 3600, count))),
        fragments.edges.take(visitors % len(fragments.edges)),
        _any(rng, fragments.numbers.slice(300, 60_000), count, 4),
        fragments.addresses.take(fragments.visitor_address[visitors]),
        _by_kind(rng, fragments.requests, kinds),
        _by_kind(
            rng, (fragments.referrers, fragments.referrers, fragments.own_referrers, fragments.own_referrers), kinds
        ),
        fragments.agents.take(fragments.visitor_agent[visitors]),
        _queries(fragments, rng, kinds),
        _any(rng, fragments.results, count),
        _request_ids(rng, count),
        _any(rng, fragments.hosts, count),
        _any(rng, fragments.numbers.slice(150, 900), count),
        fragments.seconds.take(took),
        _any(rng, fragments.connections, count),
        _any(rng, fragments.numbers.slice(1024), count),
        fragments.seconds.take(took),
        _by_kind(rng, fragments.tails, kinds),
        "\t",
    )
    return _values(lines)


def skewed(rng: np.random.Generator, size: int, count: int, power: int) -> np.ndarray:
    """`count` random numbers below `size`. Small ones are much more frequent: density ~ rank^(1/power - 1)."""
    return (size * rng.random(count) ** power).astype(np.int64)


def _any(rng: np.random.Generator, pool: Text, count: int, power: int = 1) -> Text:
    return pool.take(skewed(rng, len(pool), count, power))


def _by_kind(rng: np.random.Generator, pools: tuple[Text, ...], kinds: np.ndarray) -> Text:
    """For each row a random part for its kind of request."""
    starts = np.cumsum([0] + [len(pool) for pool in pools[:-1]])
    sizes = np.array([len(pool) for pool in pools])
    return pa.concat_arrays(pools).take(starts[kinds] + (sizes[kinds] * rng.random(len(kinds)) ** 2).astype(np.int64))


def _queries(fragments: Fragments, rng: np.random.Generator, kinds: np.ndarray) -> Text:
    count = len(kinds)
    placement = skewed(rng, PLACEMENTS, count, 2)
    ad = fragments.placements.take(placement)
    busters = rng.integers(10**12, 10**13, count)
    impression = pc.binary_join_element_wise(ad, pa.array(busters).cast(pa.string()), "&cb=")
    click = pc.binary_join_element_wise(ad, fragments.landings.take(placement % LANDINGS), "&r=")
    other = _any(rng, fragments.other_queries, count)
    return pc.choose(pa.array(np.minimum(kinds, PAGE)), impression, click, other)


def _request_ids(rng: np.random.Generator, count: int) -> Text:
    characters = np.full((count, 56), ord("="), dtype=np.uint8)
    characters[:, :54] = REQUEST_ID_ALPHABET[rng.integers(0, 64, (count, 54), dtype=np.uint8)]
    offsets = np.arange(count + 1, dtype=np.int32) * 56
    return pa.StringArray.from_buffers(count, pa.py_buffer(offsets), pa.py_buffer(characters))


def _values(lines: Text) -> pa.Buffer:
    offsets = np.frombuffer(lines.buffers()[1], dtype=np.int32)[lines.offset : lines.offset + len(lines) + 1]
    return lines.buffers()[2].slice(int(offsets[0]), int(offsets[-1] - offsets[0]))


def _addresses(rng: np.random.Generator, count: int) -> Text:
    four = rng.integers((1 << 24) + 1, 223 << 24, count)
    six = rng.integers(0, 1 << 16, (count, 4))
    return pa.array(
        [
            f"2001:db8:{six[n, 0]:x}:{six[n, 1]:x}::{six[n, 2]:x}:{six[n, 3]:x}"
            if n % 5 == 0
            else f"{four[n] >> 24}.{four[n] >> 16 & 255}.{four[n] >> 8 & 255}.{four[n] & 255}"
            for n in range(count)
        ]
    )


def _user_agents(rng: np.random.Generator) -> Text:
    """User agents as logged. Common browsers come first, because the skewed draw prefers the first ones."""
    gecko = "(KHTML, like Gecko)"
    webkit, mobile_webkit = f"AppleWebKit/537.36 {gecko}", f"AppleWebKit/605.1.15 {gecko}"
    agents = []
    for n in range(USER_AGENTS):
        chrome = f"{143 - n % 31}.0.{rng.integers(5000, 7600)}.{rng.integers(10, 200)}"
        ios = f"{15 + n % 4}_{n % 8}" + (f"_{n % 3}" if n % 3 else "")
        iphone = f"Mozilla/5.0 (iPhone; CPU iPhone OS {ios} like Mac OS X) {mobile_webkit}"
        ipad = f"Mozilla/5.0 (iPad; CPU OS {ios} like Mac OS X) {mobile_webkit}"
        android = f"Mozilla/5.0 (Linux; Android {10 + n % 6}; SM-{'AGSF'[n % 4]}{900 + n % 97}{'BUFEN'[n % 5]})"
        windows, mac = "Mozilla/5.0 (Windows NT 10.0; Win64; x64", "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7)"
        facebook = f"FBAN/FBIOS;FBAV/{400 + n % 60}.0.0.{n};FBDV/iPhone{12 + n % 5},{n % 4};FBLC/en_US"
        google = f"Mozilla/5.0 (compatible; Googlebot/2.{n % 9}; +http://www.google.com/bot.html)"
        shapes = (
            f"{windows}) {webkit} Chrome/{chrome} Safari/537.36",
            f"{iphone} Version/{15 + n % 4}.{n % 7} Mobile/15E{148 + n % 90} Safari/604.1",
            f"{android} {webkit} Chrome/{chrome} Mobile Safari/537.36",
            f"{mac} {webkit} Chrome/{chrome} Safari/537.36 Edg/{chrome}",
            f"{windows}; rv:{143 - n % 31}.0) Gecko/20100101 Firefox/{143 - n % 31}.{n % 5}",
            f"{iphone} Mobile/15E148 [{facebook}]",
            f"{ipad} CriOS/{chrome} Mobile/15E148 Safari/604.1",
            google if n % 3 else f"python-requests/2.{n % 40}.{n}",
        )
        agents.append(shapes[AGENT_SHAPES[n % len(AGENT_SHAPES)]])
    once = [quote(agent, safe=LOGGED_AS_IS) for agent in agents]
    return pa.array([agent.replace("%", "%25") if n % 10 == 9 else agent for n, agent in enumerate(once)])


# Index of the shape of each user agent, repeated: one robot in 33, the rest similar to real traffic.
AGENT_SHAPES = (0, 1, 2, 1, 0, 3, 2, 1, 4, 5, 0, 2, 1, 6, 2, 0, 1, 2, 3, 1, 0, 2, 5, 1, 2, 0, 4, 1, 2, 0, 1, 7, 2)


def _placements(rng: np.random.Generator) -> Text:
    """Query strings of placements as logged. One in a hundred lacks a parameter, one in fifty has an encoded space."""
    sizes = ("300x250", "728x90", "320x50", "970x250", "300x600", "640x200")
    placements = []
    for n in range(PLACEMENTS):
        order, creative = 10_000 + n // 15, 500_000 + n
        campaign = f"{'spring%20sale' if n % 50 == 0 else 'campaign'}-{n // 8}"
        values = {
            "oid": order,
            "cid": campaign,
            "pid": PUBLICATIONS[int(rng.integers(len(PUBLICATIONS)))],
            "ch": ("website", "newsletter", "website", "app")[n % 4],
            "cr": creative,
            "s": sizes[n % len(sizes)],
        }
        if n % 100 == 99:
            del values[("pid", "cr", "s", "ch")[n // 100 % 4]]
        placements.append("&".join(f"{name}={value}" for name, value in values.items()))
    return pa.array(placements)


def _landings() -> Text:
    """Landing URLs as logged in `r`: the page encodes them once, and CloudFront encodes half of them again."""
    urls = [
        f"https://shop{n % 300}.example.com/item-{n}?utm_source=display&utm_campaign=c{n}&utm_content=a b{n % 7}"
        for n in range(LANDINGS)
    ]
    once = [quote(url, safe="") for url in urls]
    return pa.array([url.replace("%", "%25") if n % 2 else url for n, url in enumerate(once)])


def _referrers(rng: np.random.Generator) -> Text:
    """Pages of publications that show the ads, as logged. A few contain escapes, some are missing."""
    words = (
        "city",
        "council",
        "music",
        "festival",
        "review",
        "best",
        "new",
        "restaurant",
        "guide",
        "weekend",
        "park",
        "art",
    )
    pages = []
    for n in range(REFERRERS):
        slug = "-".join(words[int(i)] for i in rng.integers(0, len(words), 4))
        host = f"www.{PUBLICATIONS[n % len(PUBLICATIONS)].replace('-', '')}.example"
        pages.append(f"https://{host}/")
        if n % 4:
            pages[-1] = f"https://{host}/{2015 + n % 12}/{1 + n % 12:02d}/{slug}-{n}"
        if n % 9 == 0:
            pages[-1] += f"?q={slug.replace('-', '%2520')}"
        if n % 20 == 7:
            pages[-1] = "-"
    return pa.array(pages)


def _pages() -> list[str]:
    return ["/"] + [
        f"/{('news', 'music', 'food', 'film')[n % 4]}/story-{n}{'%20draft' if n % 60 == 0 else ''}"
        for n in range(PAGES)
    ]


def _assets() -> list[str]:
    return [
        f"/static/{('css', 'js', 'img', 'fonts')[n % 4]}/asset-{n:04x}.{('css', 'js', 'webp', 'woff2')[n % 4]}"
        for n in range(ASSETS)
    ]


def _status(n: int) -> str:
    return {7: "304", 11: "404", 23: "301", 41: "000", 47: "503"}.get(n % 50, "200")


def _method(n: int) -> str:
    return {13: "POST", 29: "HEAD"}.get(n % 40, "GET")


def main() -> None:
    parser = argparse.ArgumentParser(description="Write one day of access logs for the benchmarks.")
    parser.add_argument("--lines", type=int, default=3_200_000)
    parser.add_argument("--files", type=int, default=64)
    parser.add_argument("--out", type=Path, required=True, help="folder to write to")
    arguments = parser.parse_args()
    write_logs(arguments.out, arguments.lines, arguments.files)


if __name__ == "__main__":
    main()
