"""The sites of rules: the hosts of each, its tenant, time zone, keys and consent. Marts do not read them; the
collector, exports and pages do."""

from __future__ import annotations

import re
import zoneinfo
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property

from ingest.events.addresses import host_name
from ingest.rules.problems import Problems, hint
from ingest.rules.yaml_file import Given

MOST_SITES = 10_000
FIELDS = ("hosts", "tenant", "time_zone", "keys", "consent")
CONSENT = ("required", "not_required")
_LABEL = re.compile("[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")
_TENANT = re.compile("[a-z0-9]([a-z0-9_-]{0,62})")
_KEY = re.compile("sha256:[0-9a-f]{64}|[A-Z][A-Z0-9_]{2,99}")


@dataclass(frozen=True)
class Site:
    """name: as in the folder `domain=<name>/` of its events.

    hosts: where its pages are, in lower case; its name alone if the file gives none.
    tenant: whose site it is. time_zone: an IANA name; the days of marts stay UTC.
    keys: what senders prove themselves with, as names of settings or as SHA-256; never a secret.
    consent: whether events of it need the visitor's consent: required or not_required.
    """

    name: str
    hosts: tuple[str, ...]
    tenant: str | None = None
    time_zone: str = "UTC"
    keys: tuple[str, ...] = ()
    consent: str = "required"


@dataclass(frozen=True)
class Sites:
    by_name: Mapping[str, Site] = field(default_factory=dict)

    @property
    def tenants(self) -> dict[str, str]:
        """Site → its tenant, for sites that have one."""
        return {name: site.tenant for name, site in self.by_name.items() if site.tenant}

    @cached_property
    def _by_host(self) -> dict[str, Site]:
        return {host: site for site in self.by_name.values() for host in site.hosts}

    def site_of(self, host: str) -> Site | None:
        """The site of a host, whatever its case, port or trailing dot; None if no site has it."""
        return self._by_host.get(host_name(host.partition(":")[0]))


def checked_host(text: str) -> str:
    """A host in the form that events have it in.

    Raises:
        ValueError: it is no host name.
    """
    name = host_name(text)
    if len(name) > 253 or not all(_LABEL.fullmatch(label) for label in name.split(".")):
        raise ValueError(f"{text!r} is no host name, such as shop.example.com")
    return name


def read(given: Mapping[str, Given], problems: Problems) -> Sites:
    if len(given) > MOST_SITES:
        problems.add(next(iter(given.values())).where, f"there are more than {MOST_SITES} sites")
        return Sites()
    found: dict[str, Site] = {}
    places: dict[str, str] = {}  # host → where it stands
    for name, each in given.items():
        try:
            checked_host(name)
        except ValueError as error:
            problems.add(each.where, f"site {error}")
            continue
        fields = each.value if isinstance(each.value, dict) else {}
        if each.value is not None and not isinstance(each.value, dict):
            problems.add(each.where, f"site {name} must hold names with values: {', '.join(FIELDS)}")
        for unknown in set(fields) - set(FIELDS):
            problems.add(fields[unknown].where, f"site {name}: {unknown} is no field. {hint(unknown, FIELDS)}")
        site = found[name] = _site(name.lower(), fields, problems)
        for host in site.hosts:
            if host in places:
                problems.add(each.where, f"host {host} is of another site too, {places[host]}")
            places.setdefault(host, each.where)
    return Sites({site.name: site for site in found.values()})


def _site(name: str, fields: Mapping[str, Given], problems: Problems) -> Site:
    hosts = []
    for text, where in _texts(fields.get("hosts"), problems) if "hosts" in fields else [(name, "")]:
        try:
            hosts.append(checked_host(text))
        except ValueError as error:
            problems.add(where, f"site {name}: {error}")
    tenant = _text(fields.get("tenant"), problems)
    if tenant and not _TENANT.fullmatch(tenant):
        problems.add(
            fields["tenant"].where, f"site {name}: tenant {tenant!r} must be lower-case letters, digits, - or _"
        )
    zone = _text(fields.get("time_zone"), problems) or "UTC"
    if zone not in _zones():
        problems.add(fields["time_zone"].where, f"site {name}: {zone!r} is no time zone, such as Europe/Berlin")
    keys = []
    for text, where in _texts(fields.get("keys"), problems):
        if not _KEY.fullmatch(text):  # not shown: it may be the secret itself
            problems.add(
                where,
                f"site {name}: a key must be the name of a setting, such as SHOP_WRITE_KEY, or sha256: and 64 hex "
                "digits. Never write a secret here",
            )
        keys.append(text)
    consent = _text(fields.get("consent"), problems) or CONSENT[0]
    if consent not in CONSENT:
        problems.add(fields["consent"].where, f"site {name}: consent is {consent!r}. Set it to {' or '.join(CONSENT)}")
    return Site(name, tuple(dict.fromkeys(hosts)), tenant, zone, tuple(keys), consent)


def _zones() -> set[str]:
    return zoneinfo.available_timezones() | {"UTC"}


def _text(given: Given | None, problems: Problems) -> str | None:
    if given is None or given.value is None:
        return None
    if not isinstance(given.value, str):
        problems.add(given.where, "must be one value")
        return None
    return given.value


def _texts(given: Given | None, problems: Problems) -> Iterator[tuple[str, str]]:
    """(text, where) of each entry of a list; one text stands for a list of one."""
    if given is None or given.value is None:
        return
    for each in given.value if isinstance(given.value, list) else [given]:
        if isinstance(each.value, str) and each.value:
            yield each.value, each.where
        else:
            problems.add(each.where, "must be a list of texts")
