"""Reads host, path and campaign from the addresses of pages. Each distinct address is read once."""

from __future__ import annotations

import logging
import re
import unicodedata
from collections.abc import Callable, Iterable
from urllib.parse import unquote

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from ingest.events.native import place_reader
from ingest.events.roles import EVENT_VALUES, REPEATED, by_value, clean
from ingest.events.shapes import shapes
from ingest.native.library import NativeError, core
from ingest.rows.columns import is_null, replaced_at, single
from ingest.rows.privacy import scrub_column
from ingest.rows.query_strings import decode, first_of, known_parameters, known_value
from ingest.schema import Role

log = logging.getLogger(__name__)

SENT = "sent_"  # prefix of a column for a tag that the tracker sends; used if no address names a campaign
TAGS = tuple(column.name.removeprefix(SENT) for column in EVENT_VALUES if column.role is Role.TAG)
_SHAPES_OF_SCREENS = pa.array({shape.name for shape in shapes() if shape.has_screens}, pa.string())
# Click ids of ad platforms; marks that all clicks of a platform's ads share; and the id of our own links, `oid`,
# because anybody may use `cid`. The first of these three that is present counts.
CLICK_IDS = (
    "gclid gbraid wbraid dclid srsltid msclkid yclid ysclid ymclid vmcid fbclid igshid igsh ttclid twclid li_fat_id "
    "epik rdt_cid sccid qclid tblci dicbo obclid mc_eid mc_cid mkt_tok _hsenc _kx vero_id irclickid cjevent awc zanpid "
    "ransiteid sscid clickref admitad_uid"
).split()
CLICK_MARKS = ("gad_source", "gad_campaignid", "gad")
OWN_CLICK_IDS = ("oid",)

# SQL: web addresses in column `text` of `lines` → host, path and query string without its `?`, one row for each
# address. An address without a scheme must begin with `//`; a text that begins with `/` is a path.
PLACES = r"""
with taken_apart as (
    select regexp_extract(
            text,
            '^\s*(?:[A-Za-z][A-Za-z0-9+.-]*:)?//(?:[^/?#@]*@)?(\[[^\]/?#]*\]|[^/?#:]+)(?::[0-9]*)?([^?#]*)',
            ['host', 'path']
        ) as place,
        nullif(regexp_extract(text, '^\s*(/[^?#]*)', 1), '') as path,
        case when contains(text, '?') and contains(text, '=') then regexp_extract(text, '[?]([^#]*)', 1) end as query
    from lines
)
select lower(nullif(place.host, '')) as host,
    case
        when place.host <> '' then coalesce(nullif(place.path, ''), '/')
        when not starts_with(path, '//') then path
    end as path,
    nullif(query, '') as query
from taken_apart
"""


def _parameter(names: str) -> str:
    """SQL: name and undecoded value of the first of these parameters that is not empty."""
    return f"regexp_extract(query, '(?i)(?:^|&)({names})=([^&]+)', ['name', 'value'])"


_TAGS = ",\n    ".join(f"{_parameter(tag)}.value as {tag}" for tag in TAGS)
# SQL: query strings in column `query` of `lines` → their campaign parameters, not decoded, empty if missing.
CAMPAIGNS = f"""
with clicks as (
    select query,
        {_parameter("|".join(CLICK_IDS))} as click,
        {_parameter("|".join(CLICK_MARKS))} as mark,
        {_parameter("|".join(OWN_CLICK_IDS))} as own
    from lines
)
select {_TAGS},
    click.value as click_value, lower(click.name) as click_name,
    mark.value as mark_value, lower(mark.name) as mark_name,
    own.value as own_value, lower(own.name) as own_name
from clicks
"""  # noqa: S608 - names of our own
# Query strings whose parameters this SQL may miss: parts are separated by `&amp;`, or a name is encoded.
HIDES_PARAMETERS = "(?i)&amp;|(?:^|&)[^&=]*[%+\\s][^&=]*="


class PageAddresses:
    """Reads the addresses of events.

    Args:
        run: runs SQL over a table named `lines`.
    """

    def __init__(self, run: Callable[[str, pa.Table], pa.Table]) -> None:
        self._run = run

    def parts(self, columns: dict[str, pa.Array], site_hosts: pa.Array) -> dict[str, pa.Array]:
        """url, host, path, the campaign, referrer and referrer_host of events. Each distinct address is read once.

        Args:
            site_hosts: for each event the host of its site's pages that are sent without a host, or null.
        """
        page, given, referrer = (self._places(columns[name]) for name in ("url", "path", "referrer"))
        in_url = self._campaigns(pc.coalesce(page["query"], given["query"]))
        sent = self._campaigns(by_value(columns["sent_query"], _bare_query))
        parts = {
            # A path with a query string is kept whole, so that nothing of it is lost.
            "url": pc.coalesce(page["text"], _where(given["query"].is_valid(), given["text"])),
            "path": pc.coalesce(page["path"], given["path"], by_value(columns["path"], clean)),
            "referrer": referrer["text"],
            "referrer_host": referrer["host"],
        }
        is_of_page = pc.or_(parts["path"].is_valid(), referrer["host"].is_valid())
        is_of_page = pc.and_not(is_of_page, pc.is_in(columns["shape"], _SHAPES_OF_SCREENS))
        parts["host"] = pc.coalesce(page["host"], _where(is_of_page, site_hosts))
        # Campaigns are never mixed: the tracker's own tags count only if neither address nor sent query names a
        # campaign or a click.
        is_in_url = _any_known(in_url[name] for name in (*TAGS, "click_id_kind"))
        is_sent = _any_known(sent[name] for name in (*TAGS, "click_id_kind"))
        for name in TAGS:
            tracked = by_value(columns[SENT + name], _known_tag)
            parts[name] = pc.if_else(is_in_url, in_url[name], pc.if_else(is_sent, sent[name], tracked))
        for name in ("click_id", "click_id_kind"):
            parts[name] = pc.if_else(is_in_url, in_url[name], sent[name])
        return {name: values.dictionary_encode() if name in REPEATED else values for name, values in parts.items()}

    def _places(self, addresses: pa.Array) -> dict[str, pa.Array]:
        """Host, path and query string of each address, and the address as `text`. All but the query string are
        scrubbed.

        A host that is an IP address is kept, because it is the server's."""
        encoded = single(addresses.dictionary_encode())
        parts = self._taken_apart(encoded.dictionary) | {"text": encoded.dictionary}
        parts["host"] = _hosts(parts["host"])
        return {
            name: (part if name == "query" else scrub_column(part, addresses=name != "host")).take(encoded.indices)
            for name, part in parts.items()
        }

    def _taken_apart(self, addresses: pa.Array) -> dict[str, pa.Array]:
        """Host, path and query string of addresses: of common ones by the core, of all others by SQL."""
        native = core()
        if native is None:
            return self._by_sql(addresses)
        try:
            parts, odd = place_reader(native).read(addresses)
        except NativeError as error:
            log.warning("the native core failed, so addresses are read the Python way: %s", error)
            return self._by_sql(addresses)
        if len(odd):
            others = self._by_sql(addresses.take(pa.array(odd)))
            parts = {name: replaced_at(values, odd, others[name]) for name, values in parts.items()}
        return parts

    def _by_sql(self, addresses: pa.Array) -> dict[str, pa.Array]:
        found = self._run(PLACES, pa.table({"text": addresses}))
        return {name: single(found.column(name)) for name in found.column_names}

    def _campaigns(self, queries: pa.Array) -> dict[str, pa.Array]:
        """Scrubbed utm_…, click_id and click_id_kind of query strings. Each distinct query string is read once."""
        encoded = single(queries.dictionary_encode())
        distinct = encoded.dictionary
        if not pc.any(pc.match_substring(distinct, "=")).as_py():
            return dict.fromkeys((*TAGS, "click_id", "click_id_kind"), pa.nulls(len(queries), pa.string()))
        found = self._run(CAMPAIGNS, pa.table({"query": distinct}))
        texts = {name: single(found.column(name)) for name in found.column_names}
        known = {name: text if name.endswith("_name") else _known_values(text) for name, text in texts.items()}
        # Query strings to read one by one: a name may be hidden, or a value turned out to be a placeholder.
        is_odd = pc.match_substring_regex(distinct, HIDES_PARAMETERS).fill_null(False)
        for name, text in texts.items():
            is_odd = pc.or_(is_odd, pc.and_(pc.not_equal(text, ""), known[name].is_null()).fill_null(False))
        columns = {name: known[name] for name in TAGS}
        kinds = [_where(known[f"{kind}_value"].is_valid(), known[f"{kind}_name"]) for kind in ("click", "mark", "own")]
        columns["click_id_kind"] = pc.coalesce(*kinds)
        columns["click_id"] = pc.if_else(
            kinds[0].is_valid(), known["click_value"], _where(kinds[1].is_null(), known["own_value"])
        )
        if pc.any(is_odd).as_py():
            read = [campaign(query) for query in distinct.filter(is_odd).to_pylist()]
            for name, values in columns.items():
                again = pa.array([each.get(name) for each in read], pa.string())
                columns[name] = pc.replace_with_mask(values, is_odd, again)
        return {name: scrub_column(values).take(encoded.indices) for name, values in columns.items()}


def _known_tag(values: pa.Array) -> pa.Array:
    """Tags, scrubbed; null for placeholders."""
    known = [value and (known_value(value) or None) for value in values.to_pylist()]
    return scrub_column(pa.array(known, pa.string()))


def _known_values(values: pa.Array) -> pa.Array:
    """Decoded values of query strings; null for placeholders."""
    return pa.array(
        [known_value(decode(value)) or None if value else None for value in values.to_pylist()], pa.string()
    )


def campaign(query: str) -> dict[str, str]:
    """The campaign parameters of a query string, by the rules of `query_strings.py`; the result matches `CAMPAIGNS`."""
    parameters = known_parameters(query)
    found = {name: first_of(parameters, (name,))[1] for name in TAGS}
    click, mark, own = (first_of(parameters, names) for names in (CLICK_IDS, CLICK_MARKS, OWN_CLICK_IDS))
    found["click_id_kind"] = click[0] or mark[0] or own[0]
    found["click_id"] = click[1] or ("" if mark[0] else own[1])
    return {name: value for name, value in found.items() if value}


def _bare_query(values: pa.Array) -> pa.Array:
    """Query strings from trackers without a `?` before and a fragment after them."""
    return pc.replace_substring_regex(values, r"^\s*\?|#.*$", "")


HOST = re.compile(r"\A[^\s/?#@:]+[.][^\s/?#@:.]+")
_MAX_LABEL = 63  # characters (RFC 1035); also, Python's punycode takes hours for long texts


def _hosts(hosts: pa.Array) -> pa.Array:
    """Hosts in the form that browsers use: lower case, no dot at the end, in ASCII."""
    is_unusual = pc.match_substring_regex(hosts, r"[^a-z0-9.-]|[.]$").fill_null(False)
    if not pc.any(is_unusual).as_py():
        return hosts
    named = [host_name(host) or None for host in hosts.filter(is_unusual).to_pylist()]
    return pc.replace_with_mask(hosts, is_unusual, pa.array(named, pa.string()))


def host_name(host: str) -> str:
    """A host in ASCII (RFC 3492), mapped only to lower case and one form (NFKC). A label that is longer than a host's
    may be stays as it is."""
    host = unicodedata.normalize("NFKC", unquote(host)).lower().replace("\u3002", ".").rstrip(".")
    return ".".join(map(_label, host.split(".")))


def _label(label: str) -> str:
    if label.isascii() or len(label) > _MAX_LABEL:
        return label
    return f"xn--{label.encode('punycode').decode()}"


def _where(condition: pa.Array, values: pa.Array | pa.Scalar) -> pa.Array:
    """The values for which the condition holds; the others are null."""
    return pc.if_else(condition, values, pa.scalar(None, pa.string()))


def _any_known(columns: Iterable[pa.Array]) -> pa.Array:
    return pa.array(~np.logical_and.reduce([is_null(column) for column in columns]))
