"""Events and rejected lines with something private in every place that takes text, and what of it must be nowhere."""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import quote

from tests.event_lines import DAY, line, pixel

ADDRESSES = ("203.0.113.213", "2001:db8:a11:ce::213", "198.51.100.213")
MAIL, PHONE, NAME = "priscilla.marked", "3125559471", "Quintessa"
# What of them must be found nowhere: however it was written, one of these stands in it.
MARKS = (*ADDRESSES, MAIL, "2001%3Adb8%3Aa11", PHONE, "555-9471", "555 9471", "555.9471", NAME)
ADDRESS = f"{MAIL}@mail-marked.example"
ENCODED = quote(ADDRESS, safe="")
URL = (
    f"https://x.example/u?email={ENCODED}&phone={PHONE}&tel=%2B1{PHONE}&ip={ADDRESSES[0]}"
    f"&client_ip={quote(ADDRESSES[1], safe='')}&c=312-555-9471&m={ADDRESS}&first=1"
)
PRIVATE: dict[str, Any] = {
    "headers": {
        "X-Forwarded-For": ", ".join(ADDRESSES),
        "X-Real-IP": ADDRESSES[0],
        "Forwarded": f'for="[{ADDRESSES[1]}]:4711";by={ADDRESSES[2]}',
    },
    "message": f"from {ADDRESSES[0]} and {ADDRESSES[1]}, {ADDRESS}, call 312-555-9471",
    "ips": list(ADDRESSES),
    "client_ip": ADDRESSES[2],
    "email": ADDRESS,
    "note": ENCODED,
    "phone": PHONE,
    "tel": int(PHONE),
    "mobile": f"+1 {PHONE}",
    "callback": "(312) 555-9471",
    "phones": [PHONE, "312.555.9471"],
    "form": {"name": NAME, "email": ADDRESS, "phone": "312 555 9471", "last_name": NAME},
    "fields": [{"name": "firstName", "value": NAME}, {"name": "phone", "value": PHONE}],
    "payload": json.dumps({"full_name": NAME, "email": ADDRESS, "phone": PHONE}),
    "link": URL,
    ADDRESS: 1,
}


def private_events(number: int) -> list[dict[str, Any]]:
    """All shapes, and a batch, with something private in every place that takes text."""
    at = f"{DAY}T10:00:0{number}Z"
    agent, title = f"Mozilla/5.0 ({ADDRESS})", f"Order of {ADDRESS} from {ADDRESSES[0]}, (312) 555-9471"
    common = {"timestamp": at, "ip": ADDRESSES[number % 3], "user_agent": agent, "ip_address": ADDRESSES[1]}
    whole = pixel(
        timestamp=at,
        userId=ADDRESS,
        visitorId=f"+1{PHONE}",
        sessionId=ADDRESSES[0],
        url=URL,
        ip=ADDRESSES[1],
        page={"title": title, "referrer": URL, "queryParams": f"?utm_source={ENCODED}&phone={PHONE}"},
        attribution={"firstTouch": {"source": ADDRESS, "utmParams": {"utm_campaign": f"tel:{PHONE}"}}},
        browser={"userAgent": agent, "ip": ADDRESSES[2], "language": ADDRESS},
        eventData=PRIVATE,
        identity=PRIVATE,
        normalized=PRIVATE,
        extra=PRIVATE,
    )
    return [
        whole,
        whole | {"eventType": "batch", "events": [{"eventType": "submit", "eventData": PRIVATE}, {"eventType": "x"}]},
        common
        | {"event_type": "submit", "page_url": URL, "event_data": PRIVATE | {"title": title, "referrer": URL}}
        | {"customer_id": ADDRESS, "visitor_id": ADDRESSES[0], "utm_source": ADDRESS, "custom": PRIVATE},
        common
        | {"event_type": "purchase", "device_id": f"d{number}", "custom_user_id": ADDRESS, "event_data": PRIVATE}
        | {"url": URL, "screen": f"/u/{ADDRESS}", "title": title, "bundle_id": ADDRESS, "campaign_id": ADDRESS},
        {"user_id": ADDRESS, "created_at": at, "event": f"sign up {ADDRESS}", "page": URL, "ip": ADDRESSES[0]}
        | {"properties": PRIVATE | {"title": title, "referrer": URL}, "title": title, "user_agent": agent},
    ]


def rejected_lines() -> list[bytes]:
    """The same, of each kind that is rejected."""
    good_ones = private_events(1)
    return [
        *(line(event | {"timestamp": "soon", "created_at": "soon"}) for event in good_ones),
        *(line(event)[:-1] for event in good_ones),
        *(line(event | {"eventType": 5, "event_type": 5, "event": 5}) for event in good_ones),
        line(good_ones[1] | {"events": [{"eventType": 5, "eventData": PRIVATE}]}),
        line(PRIVATE),
        line({ADDRESS: PRIVATE, f"+1{PHONE}": 1}),
        line([PRIVATE]),
        line(PRIVATE).replace(b"@", b"\\u0040"),
        repr(PRIVATE).encode(),
    ]
