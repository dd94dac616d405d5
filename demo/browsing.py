"""The demo's visitors on three sites, day by day. It knows no file format and makes no errors; the same seed gives the
same visits.

A visit is one person on one device at one site. It yields messages. A message is sent at once: one event, or several
in a batch of the pixel. event_files.py writes messages as the lines of hourly objects.

People come back on later days, log in on a second device, arrive from search, social networks, mail, AI assistants
and ads, buy, go offline with an app that keeps its events until it is back, and run past midnight. There are robots,
private networks, trackers that lost their ids, clocks that are ahead, and people who opt out of tracking.
"""

from __future__ import annotations

import random
import uuid
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime
from functools import cached_property
from hashlib import sha256
from typing import Any, NamedTuple
from urllib.parse import parse_qs, quote, unquote, urlencode, urlsplit

from demo import traffic, visits

SEED = 7
SECOND, HOUR, DAY = 1_000, 3_600_000, 86_400_000  # in milliseconds, as all times here are


@dataclass(frozen=True)
class Site:
    domain: str  # folder in the key of its objects
    shape: str  # of its events; the app's web backend sends `clickstream` instead
    visits: int  # on a Monday, at scale 1


MAGAZINE = Site("lakeside-magazine.example", "pixel", 120)
SHOP = Site("shop.example.com", "site", 250)  # the ads of visits.py lead here
DELIVERY = Site("deep-dish-delivery.example", "app", 145)
SITES = (MAGAZINE, SHOP, DELIVERY)

PEOPLE = 500  # at scale 1, the same every day; NEWCOMERS is the number of new ones a day
NEWCOMERS = 12
NEWCOMER_RETURN_DAYS = 2
ROBOT_VISITS, ODD_VISITS, RECENT_VISITS = 0.05, 0.015, 0.08  # shares: robots, lost ids, returning newcomers
PHONE_VISITS = 0.55
WEB_BACKEND_VISITS = 0.35  # share of visits to the app's site
OFFLINE_VISITS, OFFLINE_HOURS = 0.08, (2, 30)
LONG_BREAK_RATE, LONG_BREAK = 0.04, (26 * 60, 70 * 60)  # seconds that a tab is left open; some breaks end the session
VISIT_AFTER_CLICK_RATE = 0.7  # the other visitors leave before the page has loaded
CLOCK_AHEAD = 7 * 60 * SECOND

SESSION_GAP = 1_800 * SECOND
# Visits that happen every day: (site, start, pages with the time on each).
MIDNIGHT_START = DAY - 5 * 60 * SECOND
MIDNIGHT_PLAN = tuple((page, 200 * SECOND) for page in ("home", "category", "product", "cart"))
GAP_START = 15 * HOUR
GAP_PLAN = (("home", SESSION_GAP), ("category", SESSION_GAP + 1), ("product", 20 * SECOND))  # two sessions

ZERO_ID = "00000000-0000-0000-0000-000000000000"
LOST_IDS = ("undefined", "null", "0", "anonymous", "none", "NaN")  # values that a broken tracker sends as an id

# Page → next page → weight; "" leaves the site.
NEXT_PAGES: dict[str, dict[str, int]] = {
    "home": {"category": 5, "article": 3, "product": 3, "": 4},
    "category": {"product": 6, "category": 1, "home": 1, "": 3},
    "article": {"article": 4, "product": 1, "home": 1, "": 6},
    "product": {"cart": 3, "product": 3, "category": 2, "": 4},
    "cart": {"checkout": 5, "product": 2, "": 3},
    "checkout": {"complete": 6, "": 4},
    "complete": {"": 1},
}
PATHS: dict[str, tuple[str, ...]] = {
    "home": ("/",),
    "category": ("/category/tickets", "/category/books", "/category/café", "/category/pizza"),
    "article": tuple(f"/articles/{article}" for article in visits.ARTICLES),
    "product": tuple(f"/products/{n}" for n in range(101, 125)),
    "cart": ("/cart",),
    "checkout": ("/checkout",),
    "complete": ("/checkout/complete",),
}
LANDING_PAGES = {"home": 4, "article": 3, "product": 4, "category": 1}


class Source(NamedTuple):
    """A source of visits: the referrer, and the parameters of the landing page; `{}` in a value becomes a random id."""

    weight: int
    referrer: str
    parameters: dict[str, str]


def _utm(source: str, medium: str, campaign: str = "") -> dict[str, str]:
    named = {"utm_source": source, "utm_medium": medium, "utm_campaign": campaign}
    return {name: value for name, value in named.items() if value}


SOURCES = {
    "direct": Source(30, "", {}),
    "search": Source(16, "https://www.google.com/", {}),
    "search_bing": Source(4, "https://www.bing.com/", {}),
    "search_duckduckgo": Source(2, "https://duckduckgo.com/", {}),
    "social": Source(5, "https://www.facebook.com/", {}),
    "social_short_link": Source(3, "https://t.co/Xa9", {}),
    "social_app": Source(2, "android-app://com.linkedin.android/", {}),
    "video": Source(2, "https://www.youtube.com/", {}),
    "mail": Source(8, "", _utm("newsletter", "email", "weekly digest") | {"utm_content": "café"}),
    "mail_web": Source(2, "https://mail.google.com/", _utm("newsletter", "email") | {"email": traffic.EMAILS[2]}),
    "assistant": Source(3, "https://chatgpt.com/", {"utm_source": "chatgpt.com"}),
    "assistant_perplexity": Source(1, "https://www.perplexity.ai/", {}),
    "assistant_gemini": Source(1, "https://gemini.google.com/", {}),
    "paid_search": Source(6, "https://www.google.com/", _utm("google", "cpc", "winter-2026") | {"gclid": "Cj0KCQ{}"}),
    "paid_search_bing": Source(1, "https://www.bing.com/", _utm("bing", "cpc", "winter-2026") | {"msclkid": "{}"}),
    "auto_tagged": Source(2, "https://www.google.com/", {"gclid": "EAIaIQ{}"}),
    "paid_social": Source(
        4, "https://l.facebook.com/", _utm("facebook", "paid_social", "lookalike") | {"fbclid": "IwAR{}"}
    ),
    "own_ad": Source(
        4,
        "https://www.chicago-reader.example/concert-guide-7",
        _utm("chicago-reader", "display") | {"oid": "24022", "cid": "deep dish festival"},
    ),
    "referral": Source(4, "https://blog.example.org/ten-things", {}),
}

LANGUAGES = ("en-US", "en-US", "en-US", "es-US", "pl-PL", "de-DE")
# Time zones and their offsets in winter; the app writes its times in them.
TIMEZONES = {"America/Chicago": -6, "America/New_York": -5, "America/Los_Angeles": -8, "Europe/Berlin": 1}
PHONE_SCREENS = ((390, 844, 3.0), (393, 852, 3.0), (412, 915, 2.6), (360, 780, 3.0))
DESKTOP_SCREENS = ((1920, 1080, 1.0), (1440, 900, 2.0), (1536, 864, 1.25), (2560, 1440, 1.0))
PHONES = tuple(agent for agent in visits.BROWSERS if "Mobile" in agent and "iPad" not in agent)
DESKTOPS = tuple(agent for agent in visits.BROWSERS if "Mobile" not in agent)


@dataclass(frozen=True)
class Device:
    name: str  # other ids are derived from it
    agent: str
    addresses: tuple[str, ...]
    screen: tuple[int, int, float]  # width, height, pixel ratio
    language: str
    timezone: str
    advertising_id: str
    opted_out: bool = False
    gpc: bool = False
    clock_ahead: int = 0
    lost_id: str = ""  # value that its trackers send as every id but the user's

    @property
    def is_iphone(self) -> bool:
        return "iPhone" in self.agent

    def visitor_id(self, site: Site) -> str:
        prefix = "vis_" if site.shape == "pixel" else "visitor_"
        return self.lost_id or prefix + short_hash(self.name, site.domain)

    @cached_property
    def device_id(self) -> str:
        return self.lost_id or str(uuid.UUID(bytes=sha256(self.name.encode()).digest()[:16], version=4))

    @cached_property
    def cookie_id(self) -> str:
        return self.lost_id or "ck_" + short_hash(self.name, "cookie")


@dataclass(frozen=True)
class Person:
    """Someone with a phone and a computer, with one account on all sites."""

    user_id: str
    phone: Device
    desktop: Device
    stays_logged_in: bool


@dataclass(frozen=True)
class Event:
    kind: str  # the site's name for it
    at: int  # by the sender's clock
    data: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Visit:
    id: str
    site: Site
    shape: str
    device: Device
    address: str
    start: int  # true time
    user_id: str = ""
    stays_logged_in: bool = False
    source: str = "direct"
    landing_url: str = ""  # of a click on an ad; without it, made from the source and the first page
    referrer: str = ""
    is_first: bool = False  # a newcomer's first visit, with the installation of the app
    offline_until: int = 0  # nothing is sent before this time
    plan: tuple[tuple[str, int], ...] = ()  # pages with the time on each; random if empty

    @property
    def clock(self) -> int:
        """The start by the device's clock."""
        return self.start + self.device.clock_ahead


@dataclass(frozen=True)
class Message:
    """What is sent at once: one line of an object."""

    id: str  # copies have the same id
    visit: Visit
    events: tuple[Event, ...]
    received: int  # true time
    url: str = ""
    referrer: str = ""
    title: str = ""
    user_id: str = ""
    is_batch: bool = False

    @property
    def at(self) -> int:
        """The time at which it was meant to be sent: a batch is sent with its last event."""
        return max(event.at for event in self.events)


@dataclass(frozen=True)
class Click:
    """A click on an ad in the access logs that was answered with its landing page."""

    at: int
    address: str
    agent: str
    landing_url: str
    referrer: str = ""


class World:
    """The people of a seed."""

    def __init__(self, seed: int = SEED, scale: float = 1.0) -> None:
        self.seed, self.scale = seed, scale
        self.people = [_person(f"{seed} {n}", n) for n in range(max(50, round(PEOPLE * scale)))]
        # Broken trackers send no valid id for their visitors: only the screen tells these apart.
        self.odd = [
            replace(_phone(f"{seed} odd {n}", n), lost_id=lost, advertising_id=ZERO_ID, screen=(400 + n, 860, 2.5))
            for n, lost in enumerate(LOST_IDS)
        ]

    def newcomers(self, day: date) -> list[Person]:
        rng = random.Random(f"newcomers {self.seed} {day}")
        count = max(2, round(NEWCOMERS * self.scale))
        return [_person(f"{self.seed} {day} {n}", rng.randrange(10_000, 60_000)) for n in range(count)]


def messages_of_day(world: World, day: date, clicks: Iterable[Click] = ()) -> list[Message]:
    """The messages of the visits that start on a day, in the order of receipt. Some are received on later days.

    Args:
        clicks: clicks in the access logs of this day. Most are followed by a visit to the landing page.
    """
    found = [message for visit in _visits(world, day) for message in _messages(visit)]
    for click in clicks:
        if random.Random(f"follows {click}").random() < VISIT_AFTER_CLICK_RATE:
            found += visit_after_click(click)
    return sorted(found, key=lambda message: (message.received, message.id))


def visit_after_click(click: Click) -> list[Message]:
    """The messages of the shop's tracker after a click on an ad: same address, same user agent, the landing page."""
    rng = random.Random(f"after {click}")
    screens = PHONE_SCREENS if "Mobile" in click.agent else DESKTOP_SCREENS
    device = _device(f"{click.address} {click.agent}", click.agent, (click.address,), screens, 0)
    visit = Visit(
        id=short_hash("click", str(click)),
        site=SHOP,
        shape=SHOP.shape,
        device=device,
        address=click.address,
        start=click.at + rng.randrange(300, 2_500),
        landing_url=quote(click.landing_url, safe=":/?#[]@!$&'()*+,;=%"),
        referrer=click.referrer,
    )
    return list(_messages(visit))


def ad_clicks(day: date, seed: int = traffic.SEED, rows: int = traffic.ROWS) -> list[Click]:
    """The clicks of people in the access logs that traffic.generate_day makes for the same day, seed and rows.

    Clicks of its click patterns and of robots are left out, because no visit follows them.
    """
    requests = visits.requests_of_day(visits.World(seed, rows), random.Random(f"{seed} {day}"), day, rows)
    midnight = milliseconds(day)
    return [
        Click(
            midnight + request.second * SECOND,
            request.visitor.address,
            request.visitor.agent,
            parse_qs(request.query)["r"][0],
            request.referrer,
        )
        for request in requests
        if request.is_click and request.status == 302 and request.visitor.agent not in visits.ROBOTS
    ]


# ---- visitors, times and sources ----


def _visits(world: World, day: date) -> Iterator[Visit]:
    rng = random.Random(f"visits {world.seed} {day}")
    midnight = milliseconds(day)
    before = [date.fromordinal(day.toordinal() - n) for n in range(1, NEWCOMER_RETURN_DAYS + 1)]
    recent = [person for day_before in before for person in world.newcomers(day_before)]
    for site in SITES:
        for n, start in enumerate(_starts(rng, round(site.visits * world.scale * visits.WEEKDAYS[day.weekday()]))):
            is_app = site is DELIVERY and rng.random() >= WEB_BACKEND_VISITS
            shape = "clickstream" if site is DELIVERY and not is_app else site.shape
            yield _any_visit(
                world, rng, recent, Visit(_name(world, day, site, n), site, shape, world.odd[0], "", midnight + start)
            )
    yield from _first_visits(world, rng, day)
    yield from _planned_visits(world, day)


def _name(world: World, day: date, site: Site, number: object) -> str:
    return short_hash(str(world.seed), str(day), site.domain, str(number))


def _starts(rng: random.Random, count: int) -> list[int]:
    hours = rng.choices(range(24), weights=[visits.busyness(hour) for hour in range(24)], k=count)
    return [hour * HOUR + rng.randrange(HOUR) for hour in hours]


def _any_visit(world: World, rng: random.Random, recent: list[Person], visit: Visit) -> Visit:
    """A visit by a robot, a person with a broken tracker, a newcomer of the days before, or a regular visitor."""
    kind = rng.random()
    if kind < ROBOT_VISITS and visit.shape in ("pixel", "site"):
        robot = _robot(rng, visit.id)
        return replace(visit, device=robot, address=robot.addresses[0])
    source = rng.choices(list(SOURCES), weights=[source.weight for source in SOURCES.values()])[0]
    if kind < ROBOT_VISITS + ODD_VISITS:
        odd = rng.choice(world.odd)
        return replace(visit, device=odd, address=odd.addresses[0], source=source)
    # Few people come often: density ~ rank^-1/2.
    regular = world.people[int(len(world.people) * rng.random() ** 2)]
    person = rng.choice(recent) if rng.random() < RECENT_VISITS else regular
    in_app = visit.shape == "app"
    device = person.phone if in_app or rng.random() < PHONE_VISITS else person.desktop
    offline = in_app and rng.random() < OFFLINE_VISITS
    return replace(
        visit,
        device=device,
        address=rng.choice(device.addresses),
        source=source,
        user_id=person.user_id,
        stays_logged_in=person.stays_logged_in,
        offline_until=visit.start + rng.randrange(*OFFLINE_HOURS) * HOUR if offline else 0,
    )


def _first_visits(world: World, rng: random.Random, day: date) -> Iterator[Visit]:
    """The first visits of newcomers, who follow an ad to the app, install it, and look around."""
    newcomers = world.newcomers(day)
    for n, (person, start) in enumerate(zip(newcomers, _starts(rng, len(newcomers)), strict=True)):
        yield Visit(
            id=_name(world, day, DELIVERY, f"first {n}"),
            site=DELIVERY,
            shape=DELIVERY.shape,
            device=person.phone,
            address=person.phone.addresses[0],
            start=milliseconds(day) + max(start, HOUR),  # the ad was clicked earlier on the same day
            source=rng.choice(("own_ad", "paid_search", "paid_social")),
            user_id=person.user_id,
            is_first=True,
        )


def _planned_visits(world: World, day: date) -> Iterator[Visit]:
    plans = [(site, "night owl", MIDNIGHT_START, MIDNIGHT_PLAN) for site in SITES]
    for site, who, start, plan in [*plans, (SHOP, "slow reader", GAP_START, GAP_PLAN)]:
        device = planned_device(site, who, world.seed)
        visit_id = _name(world, day, site, who)
        yield Visit(visit_id, site, site.shape, device, device.addresses[0], milliseconds(day) + start, plan=plan)


def planned_device(site: Site, who: str, seed: int = SEED) -> Device:
    """The device of visits that are the same every day: `night owl` at each site, `slow reader` in the shop."""
    return _phone(f"{seed} {who} {site.domain}", 2)


# ---- people and their devices ----


def _person(name: str, n: int) -> Person:
    rng = random.Random(f"person {name}")
    account = short_hash(name, "account")[:8]
    return Person(
        user_id=f"reader.{account}@example.com" if n % 12 == 3 else f"u{account}",
        phone=_phone(f"{name} phone", n),
        desktop=_device(f"{name} desktop", _common(rng, DESKTOPS), (_home_address(n),), DESKTOP_SCREENS, n),
        stays_logged_in=rng.random() < 0.3,
    )


def _phone(name: str, n: int) -> Device:
    rng = random.Random(f"phone {name}")
    carrier = f"100.{64 + n // 60_000 % 64}.{n // 240 % 250}.{n % 240 + 1}"
    return _device(name, _common(rng, PHONES), (_home_address(n), carrier), PHONE_SCREENS, n)


def _device(
    name: str, agent: str, addresses: tuple[str, ...], screens: tuple[tuple[int, int, float], ...], n: int
) -> Device:
    rng = random.Random(f"device {name}")
    may_be_known = "iPhone" not in agent or rng.random() < 0.4
    return Device(
        name=name,
        agent=agent,
        addresses=addresses,
        screen=rng.choice(screens),
        language=rng.choice(LANGUAGES),
        timezone=rng.choices(list(TIMEZONES), weights=(12, 3, 2, 1))[0],
        advertising_id=str(uuid.UUID(int=rng.getrandbits(128), version=4)) if may_be_known else ZERO_ID,
        opted_out=n % 25 == 4,
        gpc=n % 16 == 5,
        clock_ahead=CLOCK_AHEAD if n % 40 == 9 else 0,
    )


def _robot(rng: random.Random, visit_id: str) -> Device:
    """A robot's device. Robots keep no cookies, so each visit is a new visitor."""
    address = f"198.19.{rng.randrange(4)}.{rng.randrange(1, 250)}"
    return _device(f"robot {visit_id}", rng.choice(visits.ROBOTS), (address,), ((800, 600, 1.0),), 0)


def _common(rng: random.Random, agents: tuple[str, ...]) -> str:
    return agents[int(len(agents) * rng.random() ** 1.5)]


def _home_address(n: int) -> str:
    """The address of a person's home, which two people share. Some homes send the address in their private network."""
    home = n // 2
    if home % 15 == 7:
        return (f"192.168.1.{n % 250 + 1}", f"10.20.{home % 250}.15")[home % 2]
    if home % 4 == 3:
        return f"2001:db8:{home:x}:1::{n % 7 + 1:x}"
    return f"198.18.{home % 250}.{home // 250 % 250 + 1}"


# ---- events of a visit ----


class View(NamedTuple):
    """A page or screen that is viewed."""

    page: str
    at: int
    dwell: int
    url: str
    referrer: str

    @property
    def path(self) -> str:
        return urlsplit(self.url).path

    @property
    def title(self) -> str:
        name = unquote(self.path).rpartition("/")[2].replace("-", " ")
        return self.page.capitalize() if name in ("", self.page) else f"{self.page.capitalize()}: {name}"


def _messages(visit: Visit) -> Iterator[Message]:
    """The visit's messages with their ids and times of receipt, which are late if the device was offline."""
    rng = random.Random(f"visit {visit.id}")
    sent = VISIT_KINDS[visit.shape](visit, rng, list(_views(visit, rng)))
    if visit.device.agent in visits.ROBOTS:  # robots read pages, but neither click nor buy
        sent = (message for message in sent if message.events[0].kind in ("pageview", "page_view"))
    for n, message in enumerate(sent):
        ready = max(message.at - visit.device.clock_ahead, visit.offline_until + 40 * n)
        yield replace(message, id=f"{visit.id}{n:02d}", received=ready + rng.randrange(40, 1_500))


def _views(visit: Visit, rng: random.Random) -> Iterator[View]:
    at, source = visit.clock + SECOND, SOURCES[visit.source]  # an app opens before it shows its first screen
    referrer = visit.referrer or source.referrer
    for n, (page, dwell) in enumerate(visit.plan or _walk(visit, rng)):
        url = f"https://{visit.site.domain}{quote(rng.choice(PATHS[page]))}"
        if n == 0:
            url = visit.landing_url or _with_parameters(url, source, rng)
        yield View(page, at, dwell, url, referrer)
        at, referrer = at + dwell, url


def _walk(visit: Visit, rng: random.Random) -> Iterator[tuple[str, int]]:
    """Random pages with the time on each."""
    page = rng.choices(list(LANDING_PAGES), weights=list(LANDING_PAGES.values()))[0]
    if visit.landing_url or visit.source.startswith(("paid", "own")):
        page = "product"
    while page:
        dwell = 3 + rng.expovariate(1 / 40)
        if rng.random() < LONG_BREAK_RATE:
            dwell = rng.uniform(*LONG_BREAK)
        yield page, int(dwell * SECOND)
        page = rng.choices(list(NEXT_PAGES[page]), weights=list(NEXT_PAGES[page].values()))[0]


def _with_parameters(url: str, source: Source, rng: random.Random) -> str:
    parameters = {name: value.format(f"{rng.getrandbits(48):012x}") for name, value in source.parameters.items()}
    return f"{url}?{urlencode(parameters)}" if parameters else url


def _pixel_visit(visit: Visit, rng: random.Random, views: list[View]) -> Iterator[Message]:
    """A page view, one batch of events on the page, sometimes a form, and the exit with the time spent."""
    user_id = visit.user_id if visit.stays_logged_in else ""
    for view in views:
        if view.page == "checkout":
            user_id = visit.user_id
        yield _message(visit, view, user_id, Event("pageview", view.at))
        acts = [Event("scroll", view.at + view.dwell // 3, {"depth": rng.choice((25, 50, 75, 100))})]
        if rng.random() < 0.4:
            element = {"element": "a", "text": "Read more", "x": rng.randrange(1_400), "y": rng.randrange(900)}
            acts.append(Event("click", view.at + view.dwell // 2, element))
        if rng.random() < 0.8:
            yield _message(visit, view, user_id, *acts, is_batch=True)
        elif rng.random() < 0.5:
            yield _message(visit, view, user_id, acts[0])
        if view.page == "article" and rng.random() < 0.12:
            yield _message(visit, view, user_id, Event("form_submit", view.at + view.dwell * 2 // 3, _form(rng)))
        if view.page == "complete":
            yield _message(visit, view, user_id, Event("purchase", view.at + 400, _order(visit, rng, "orderId")))
        spent = {"timeSpent": view.dwell // SECOND, "engagement": {"scrollDepth": 75, "clicks": len(acts) - 1}}
        yield _message(visit, view, user_id, Event("page_exit", view.at + view.dwell, spent))


def _shop_visit(visit: Visit, rng: random.Random, views: list[View]) -> Iterator[Message]:
    """Page views, clicks and cart events; some visitors log in at the checkout."""
    user_id = visit.user_id if visit.stays_logged_in else ""
    for view in views:
        yield _message(visit, view, user_id, Event("page_view", view.at))
        if visit.plan:
            continue
        if rng.random() < 0.2:
            yield _message(visit, view, user_id, Event("click", view.at + view.dwell // 2, {"element": "#gallery"}))
        if view.page == "cart":
            cart = {"product_id": rng.choice(PATHS["product"])[-3:], "quantity": rng.randrange(1, 4)}
            yield _message(visit, view, user_id, Event("add_to_cart", view.at + 250, cart))
        if view.page == "checkout" and visit.user_id and not user_id:
            user_id = visit.user_id
            yield _message(visit, view, user_id, Event("login", view.at + 900))
        if view.page == "complete":
            yield _message(visit, view, user_id, Event("purchase", view.at + 400, _order(visit, rng, "order_id")))


def _app_visit(visit: Visit, rng: random.Random, views: list[View]) -> Iterator[Message]:
    """An app session from opening to closing. A newcomer's begins with a tracking link and the installation."""
    at, user_id, first, last = views[0].at, visit.user_id if visit.stays_logged_in else "", views[0], views[-1]
    campaign = {"campaign_id": SOURCES[visit.source].parameters.get("cid", "winter-2026")}
    if visit.is_first:
        yield _message(visit, first, "", Event("click", at - rng.randrange(90, 2_400) * SECOND, campaign))
        yield _message(visit, first, "", Event("install", at - 20 * SECOND, campaign))
    yield _message(visit, first, user_id, Event("app_open", at - 800))
    yield _message(visit, first, user_id, Event("session_start", at - 500))
    for before, view in zip([None, *views], views, strict=False):
        if before:
            screens = {"from_screen": before.page, "to_screen": view.page}
            yield _message(visit, view, user_id, Event("screen_transition", view.at - 60, screens))
        yield _message(visit, view, user_id, Event("page_view", view.at, {"screen_name": view.page}))
        if view.page == "cart":
            yield _message(visit, view, user_id, Event("add_to_cart", view.at + 300, {"product_id": "101"}))
        if view.page == "checkout":
            user_id = visit.user_id
        if view.page == "complete":
            yield _message(visit, view, user_id, Event("purchase", view.at + 400, _order(visit, rng, "order_id")))
    closed = last.at + last.dwell
    if user_id and rng.random() < 0.1:
        yield _message(visit, last, user_id, Event(rng.choice(("logout", "unsubscribe")), closed - 600))
    yield _message(visit, last, user_id, Event("app_close", closed))


def _web_visit(visit: Visit, rng: random.Random, views: list[View]) -> Iterator[Message]:
    """The events that the app's web backend sees: only those of people who are logged in."""
    for view in views:
        yield _message(visit, view, visit.user_id, Event("page_view", view.at))
        if view.page == "complete":
            order = Event("purchase", view.at + 400, _order(visit, rng, "order_id"))
            yield _message(visit, view, visit.user_id, order)


VISIT_KINDS = {"pixel": _pixel_visit, "site": _shop_visit, "app": _app_visit, "clickstream": _web_visit}


def _message(visit: Visit, view: View, user_id: str, *events: Event, is_batch: bool = False) -> Message:
    return Message("", visit, events, 0, view.url, view.referrer, view.title, user_id, is_batch)


def _form(rng: random.Random) -> dict[str, Any]:
    fields = {"email": rng.choice(traffic.EMAILS), "phone": rng.choice(traffic.PHONES), "city": "Chicago"}
    return {"formId": "newsletter", "fields": fields}


def _order(visit: Visit, rng: random.Random, id_name: str) -> dict[str, Any]:
    return {"value": rng.randrange(500, 12_000) / 100, "currency": "USD", id_name: f"A-{visit.id[:6]}"}


def milliseconds(day: date) -> int:
    """Milliseconds from 1970 to the day's midnight, UTC."""
    return int(datetime(day.year, day.month, day.day, tzinfo=UTC).timestamp()) * SECOND


def short_hash(*parts: str) -> str:
    return sha256("\0".join(parts).encode()).hexdigest()[:12]
