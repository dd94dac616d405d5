"""The demo's requests of a day: page views, ad impressions, clicks, robots. It knows no log format and no faults."""

from __future__ import annotations

import math
import random
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import date
from functools import lru_cache
from typing import NamedTuple
from urllib.parse import quote

# The codes in demo/rules/publications.csv, and two codes that are not mapped yet.
PUBLICATIONS = (
    "chicago-reader",
    "lakeview-courier",
    "north-shore-weekly",
    "south-loop-post",
    "pilsen-tribune",
    "prairie-herald",
    "river-city-times",
    "uptown-review",
    "harbor-gazette",
    "midway-observer",
    "fox-valley-star",
    "state-street-dispatch",
)
UNMAPPED_PUBLICATIONS = ("loop-night-owl", "partner-feed-7")

# Order → campaigns. One has spaces, one an accent, so that encoded parameters occur.
ORDERS = {
    "24017": ("lakefront-theatre-spring", "lakefront-theatre-subscribers"),
    "24022": ("deep dish festival",),
    "24031": ("north-branch-brewing-taproom", "north-branch-brewing-delivery"),
    "24038": ("café-la-salle-opening",),
    "24045": ("museum-nights-awareness", "museum-nights-members"),
    "24052": ("transit-pass-commuters",),
}
AD_SIZES = ("300x250", "728x90", "320x50", "970x250")
NEWSLETTER_SIZE = "640x200"

CLICK_RATE = 0.009  # of impressions; double clicks and the click patterns of traffic.py raise it to 1.3 %
DOUBLE_CLICK_RATE = 0.05  # of clicks that are repeated within seconds
ROWS_PER_VISITOR = 5
ROWS_PER_VISIT = 4.09  # measured over 30 days
WEEKDAYS = (1.0, 1.02, 1.05, 1.04, 0.98, 0.8, 0.75)  # traffic by day of the week, Monday first
VISITS = {"reader": 0.72, "newsletter": 0.13, "site": 0.09, "robot": 0.06}

SITE = "https://www.clicklake-demo.example"
SITE_PAGES = (
    "/",
    "/advertise",
    "/advertise/rates",
    "/about",
    "/contact",
    "/blog/what a click costs",
    "/blog/café-culture",
)
SITE_ASSETS = (
    ("/static/site.css", "text/css", 18_211),
    ("/static/app.js", "application/javascript", 74_030),
    ("/static/logo.svg", "image/svg+xml", 3_114),
    ("/static/hero.webp", "image/webp", 181_204),
    ("/favicon.ico", "image/x-icon", 1_150),
)
ARTICLES = (
    "city-council-vote",
    "best-new-restaurants",
    "concert-guide",
    "lake-levels",
    "transit-map",
    "art-in-the-park",
)

WEBKIT = "AppleWebKit/537.36 (KHTML, like Gecko)"
IPHONE = "Mozilla/5.0 (iPhone; CPU iPhone OS {} like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko)"
# Common browsers come first: visitors get them with a density of ~ rank^-1/3.
BROWSERS = (
    *(f"{IPHONE.format(v)} Version/{v[:2]}.5 Mobile/15E148 Safari/604.1" for v in ("18_6", "26_1")),
    *(f"Mozilla/5.0 (Windows NT 10.0; Win64; x64) {WEBKIT} Chrome/{n}.0.0.0 Safari/537.36" for n in (142, 141)),
    *(f"Mozilla/5.0 (Linux; Android {n}; SM-S9{n}B) {WEBKIT} Chrome/142.0.0.0 Mobile Safari/537.36" for n in (15, 14)),
    f"{IPHONE.format('18_6')} Mobile/15E148 [FBAN/FBIOS;FBAV/530.0.0.37;FBDV/iPhone15,2;FBLC/en_US]",
    *(f"Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) {WEBKIT} Chrome/{n}.0.0.0 Safari/537.36" for n in (142, 139)),
    f"{IPHONE.format('17_6_1')} Version/17.6 Mobile/15E148 Safari/604.1",
    f"Mozilla/5.0 (iPad; CPU OS 17_6 like Mac OS X) {WEBKIT} Version/17.6 Mobile/15E148 Safari/604.1",
    *(f"Mozilla/5.0 (Windows NT 10.0; Win64; x64; rv:{n}.0) Gecko/20100101 Firefox/{n}.0" for n in (144, 140, 128)),
    *(f"Mozilla/5.0 (Windows NT 10.0; Win64; x64) {WEBKIT} Chrome/{n}.0.0.0 Safari/537.36" for n in range(136, 141)),
    *(
        f"Mozilla/5.0 (Linux; Android {n}; Pixel {n - 5}) {WEBKIT} Chrome/139.0.0.0 Mobile Safari/537.36"
        for n in (12, 13)
    ),
)
ROBOTS = (
    "Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)",
    "Mozilla/5.0 (compatible; bingbot/2.0; +http://www.bing.com/bingbot.htm)",
    "Mozilla/5.0 (compatible; AhrefsBot/7.0; +http://ahrefs.com/robot/)",
    f"Mozilla/5.0 (X11; Linux x86_64) {WEBKIT} HeadlessChrome/139.0.0.0 Safari/537.36",
    "python-requests/2.32.3",
    "curl/8.9.1",
    "",
)
EDGES = ("ORD52-C1", "ORD53-P2", "ORD58-P4", "ORD56-P9", "IAD89-C1", "DFW57-P5", "MSP50-P1")


class Placement(NamedTuple):
    """An ad in its place, with the columns that the mart groups by; None if the tag lacks the parameter."""

    order_id: str | None
    campaign_id: str | None
    publication_code: str | None
    channel: str | None
    creative_id: str | None
    ad_size: str | None


@dataclass(frozen=True, slots=True)
class Visitor:
    address: str
    agent: str
    edge: str
    agent_is_doubled: bool  # logged with two layers of percent-encoding


@dataclass(frozen=True, slots=True)
class Request:
    """One request as the client sent it. Path, query, referrer and user agent are not encoded for the log yet."""

    second: int  # of the day
    visitor: Visitor
    path: str
    query: str = ""
    referrer: str = ""
    status: int = 200
    content_type: str = "text/html"
    size: int = 0
    placement: Placement | None = None  # of a click or an impression

    @property
    def is_click(self) -> bool:
        return self.path == "/c"

    @property
    def is_impression(self) -> bool:
        return self.path == "/pxl.png"


class World:
    """Visitors and ads, which are the same on every day of a seed."""

    def __init__(self, seed: int, rows: int) -> None:
        rng = random.Random(f"world {seed}")
        self.visitors = [_visitor(rng, n, BROWSERS) for n in range(max(100, rows // ROWS_PER_VISITOR))]
        self.robots = [_visitor(rng, n, (agent,)) for n, agent in enumerate(ROBOTS)]
        self.placements = _placements(rng)

    def any_visitor(self, rng: random.Random) -> Visitor:
        """A random visitor. Few come often: density ~ rank^-1/2."""
        return self.visitors[int(len(self.visitors) * rng.random() ** 2)]

    def any_placement(self, rng: random.Random, publication: str, channel: str) -> Placement:
        return rng.choice(self.placements[publication, channel])


def requests_of_day(world: World, rng: random.Random, day: date, rows: int) -> list[Request]:
    """About `rows` requests on a Monday, fewer at the weekend, ordered by time; none after midnight."""
    visits = int(rows * WEEKDAYS[day.weekday()] / ROWS_PER_VISIT)
    kinds = rng.choices(list(VISITS), weights=list(VISITS.values()), k=visits)
    hours = rng.choices(range(24), weights=[busyness(hour) for hour in range(24)], k=visits)
    made: list[Request] = []
    for kind, hour in zip(kinds, hours, strict=True):
        start = hour * 3600 + rng.randrange(3600)
        made.extend(VISIT_KINDS[kind](world, rng, start))
    return sorted((request for request in made if request.second < 86_400), key=lambda request: request.second)


def busyness(hour: int) -> float:
    """The relative traffic of a UTC hour in a city at UTC-6: low before dawn, a small peak at lunch, a large one in the
    evening."""
    local = (hour - 6) % 24
    return (
        0.15
        + math.exp(-(((local - 12.5) / 3) ** 2))
        + 1.2 * math.exp(-(((local - 20) / 2.5) ** 2))
        + 0.4 * (7 < local < 22)
    )


def _reader(world: World, rng: random.Random, start: int) -> Iterator[Request]:
    """A visitor reads a publication; each page shows one to three ads."""
    visitor, second = world.any_visitor(rng), start
    publications = PUBLICATIONS + UNMAPPED_PUBLICATIONS[: rng.random() < 0.3]
    publication = publications[int(len(publications) * rng.random() ** 1.5)]
    for _ in range(_geometric(rng, 2.0)):
        page = f"https://www.{publication}.example/{rng.choice(ARTICLES)}-{rng.randrange(40)}"
        for _ in range(rng.randrange(1, 4)):
            second += rng.randrange(3)
            ad = impression(rng, second, visitor, world.any_placement(rng, publication, "website"), page)
            yield ad
            yield from _clicks(rng, ad, CLICK_RATE)
        second += rng.randrange(10, 120)


def _newsletter(world: World, rng: random.Random, start: int) -> Iterator[Request]:
    """A visitor opens a mail: impressions and clicks without a referrer."""
    visitor = world.any_visitor(rng)
    publication = rng.choice(PUBLICATIONS[:5] + UNMAPPED_PUBLICATIONS[1:])
    for n in range(rng.randrange(1, 4)):
        ad = impression(rng, start + n, visitor, world.any_placement(rng, publication, "newsletter"), "")
        yield ad
        yield from _clicks(rng, ad, 2 * CLICK_RATE)


def _clicks(rng: random.Random, ad: Request, rate: float) -> Iterator[Request]:
    if rng.random() < rate:
        yield click(rng, ad, ad.second + rng.randrange(2, 30))
        if rng.random() < DOUBLE_CLICK_RATE:
            yield click(rng, ad, ad.second + rng.randrange(30, 35))


def _site(world: World, rng: random.Random, start: int) -> Iterator[Request]:
    """A visitor views our own pages with their assets. These requests are in the log, but in no ad measure."""
    visitor, second, referrer = world.any_visitor(rng), start, rng.choice(("", "https://www.google.com/"))
    for _ in range(_geometric(rng, 2.0)):
        path = rng.choice(SITE_PAGES)
        query = rng.choice(("", "", "utm_source=newsletter&utm_campaign=rates", "q=price+list"))
        yield page_view(rng, second, visitor, path, query, referrer)
        referrer = SITE + quote(path)
        for asset, content_type, size in rng.sample(SITE_ASSETS, 3):
            status = 304 if rng.random() < 0.3 else 200
            yield Request(
                second + 1, visitor, asset, "v=31", referrer, status, content_type, size if status == 200 else 0
            )
        second += rng.randrange(5, 90)


def _robot(world: World, rng: random.Random, start: int) -> Iterator[Request]:
    """A crawler or a program requests pages, robots.txt, and now and then an ad."""
    visitor = rng.choice(world.robots)
    yield Request(start, visitor, "/robots.txt", content_type="text/plain", size=120)
    for n in range(rng.randrange(6)):
        if rng.random() < 0.4:
            publication = rng.choice(PUBLICATIONS)
            placement = world.any_placement(rng, publication, "website")
            yield impression(rng, start + n, visitor, placement, f"https://www.{publication}.example/")
        else:
            path = rng.choice((*SITE_PAGES, "/wp-login.php", "/.env"))
            status = 200 if path in SITE_PAGES else 404
            yield replace(page_view(rng, start + n, visitor, path, "", ""), status=status)


VISIT_KINDS = {"reader": _reader, "newsletter": _newsletter, "site": _site, "robot": _robot}


def impression(rng: random.Random, second: int, visitor: Visitor, placement: Placement, referrer: str) -> Request:
    status = rng.choices((200, 304, 403, 0), weights=(970, 24, 4, 2))[0]
    query = f"{_parameters(placement)}&cb={rng.randrange(10**11, 10**12)}"
    return Request(second, visitor, "/pxl.png", query, referrer, status, "image/png", 95, placement)


def click(rng: random.Random, ad: Request, second: int) -> Request:
    """A click on the ad of an impression; Lambda@Edge answers 302 with the landing page."""
    assert ad.placement is not None
    landing = f"https://shop.example.com/{ad.placement.creative_id}?utm_medium=display&utm_content=a b"
    query = f"{_parameters(ad.placement)}&r={quote(landing, safe='')}"
    status = 302 if rng.random() < 0.99 else 503
    return Request(second, ad.visitor, "/c", query, ad.referrer, status, "text/html", 0, ad.placement)


def page_view(rng: random.Random, second: int, visitor: Visitor, path: str, query: str, referrer: str) -> Request:
    status = rng.choices((200, 301, 404, 500), weights=(960, 20, 15, 5))[0]
    return Request(second, visitor, quote(path), query, referrer, status, "text/html", 9_000 + rng.randrange(9_000))


@lru_cache(8192)
def _parameters(placement: Placement) -> str:
    named = zip(("oid", "cid", "pid", "ch", "cr", "s"), placement, strict=True)
    return "&".join(f"{name}={quote(value, safe='')}" for name, value in named if value is not None)


def _placements(rng: random.Random) -> dict[tuple[str, str], list[Placement]]:
    """(publication, channel) → placements. Every 25th tag lacks one of its parameters."""
    placements: dict[tuple[str, str], list[Placement]] = {}
    creative = 4500
    for publication in PUBLICATIONS + UNMAPPED_PUBLICATIONS:
        for order, campaigns in rng.sample(sorted(ORDERS.items()), 3):
            for channel in ("website", "website", "newsletter"):
                creative += 1
                size = NEWSLETTER_SIZE if channel == "newsletter" else rng.choice(AD_SIZES)
                tag = Placement(order, rng.choice(campaigns), publication, channel, str(creative), size)
                if creative % 25 == 0:
                    lost = ("order_id", "publication_code", "creative_id", "ad_size", "campaign_id")[creative // 25 % 5]
                    tag = tag._replace(**{lost: None})
                placements.setdefault((publication, channel), []).append(tag)
    return placements


def _visitor(rng: random.Random, n: int, agents: tuple[str, ...]) -> Visitor:
    """A visitor. Addresses come from the documentation ranges first, then IPv6 and carrier-grade NAT; every eighth is
    shared."""
    households = n - n % 8 if n % 8 == 1 else n
    agent = agents[int(len(agents) * rng.random() ** 1.5)]
    return Visitor(_address(households), agent, rng.choice(EDGES), n % 10 == 3)


def _address(n: int) -> str:
    if n % 4 == 3:
        return f"2001:db8:{n:x}::{n % 7 + 1:x}"
    networks = ("192.0.2", "198.51.100", "203.0.113")
    if n < 3 * 240:
        return f"{networks[n % 3]}.{n // 3 + 1}"
    return f"100.{64 + n // 60_000 % 64}.{n // 240 % 250}.{n % 240 + 1}"


def _geometric(rng: random.Random, mean: float) -> int:
    return 1 + int(math.log(1 - rng.random()) / math.log(1 - 1 / mean))
