"""The columns of all tables that ingest writes: name, type, description.

The dbt sources, the docs and the metadata in Dagster are checked against it.
Timestamps are UTC, in microseconds, without a zone; ids and hashes are text (Spark reads no UUID).
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

import pyarrow as pa


class Role(Enum):
    """The role of a value that an event is sent with. `ingest/events/roles.py` has the rules of each role: how its
    values are read, cleaned and kept private. The text of each role appears in docs/reference/event-shapes.md.
    """

    TIME = "ISO 8601, UTC if it names no offset, or seconds, milliseconds or microseconds since 1970"
    ID = "id of a person, device or session; null for a placeholder, a keyed hash for an e-mail address or phone number"
    NAME = "name of a site or campaign; read like an id, but any word may be a name"
    TEXT = "text, without blanks around it, scrubbed"
    WORD = "text in snake case, scrubbed"
    CODE = "text in capitals, scrubbed"
    NUMBER = "number; any other text becomes null and is counted"
    FLAG = (
        "`true`, `1`, `yes`, `y`, `t`, `on` or their opposites, in small letters or capitals; null for any other text"
    )
    JSON = "any JSON, kept as its text, scrubbed"
    ADDRESS = "web address, scrubbed; host, path and campaign are read from it"
    PATH = "path of a page, scrubbed, used where the page's address is missing"
    PAGE = "address of a page, or its path"
    QUERY = "query string of a page, used where its address names no campaign"
    TAG = "tag of a campaign, used where neither the address nor the query string names one; null for a placeholder"
    AGENT = "user agent, scrubbed; device, browser and system are read from it"
    IP = "address of the client; only its keyed hashes and its place are kept"
    TRAIT = "a trait of the device, for its fingerprint"


@dataclass(frozen=True)
class Column:
    """A column of the lake, or a value that only helps to make columns.

    field: the access log's own name of a field that is kept unchanged.
    role: the role of a value that a schema of events names in `x-column`; None if ingest makes the value.
    is_repeated: the column of events has few distinct values, so it is read as a dictionary.
    """

    name: str
    type: pa.DataType
    description: str
    field: str | None = None
    role: Role | None = None
    is_repeated: bool = False

    @property
    def sql_type(self) -> str:
        """The DuckDB type of the column."""
        if pa.types.is_decimal(self.type):
            return f"decimal({self.type.precision},{self.type.scale})"
        return _SQL_TYPES[self.type]


_SQL_TYPES = {
    pa.string(): "varchar",
    pa.int32(): "integer",
    pa.int64(): "bigint",
    pa.float64(): "double",
    pa.bool_(): "boolean",
    pa.date32(): "date",
    pa.timestamp("us"): "timestamp",
    pa.list_(pa.string()): "varchar[]",
    pa.map_(pa.string(), pa.int64()): "map(varchar, bigint)",
}
TEXT = pa.string()
INT = pa.int64()
REAL = pa.float64()
FLAG = pa.bool_()
MONEY = pa.decimal128(18, 4)
TIMESTAMP = pa.timestamp("us")

# AWS, "Standard logging reference": the 33 fields of a version 1 log, in their documented order.
ACCESS_LOG_FIELDS = tuple(
    (
        "date time x-edge-location sc-bytes c-ip cs-method cs(Host) cs-uri-stem sc-status cs(Referer) "
        "cs(User-Agent) cs-uri-query cs(Cookie) x-edge-result-type x-edge-request-id x-host-header "
        "cs-protocol cs-bytes time-taken x-forwarded-for ssl-protocol ssl-cipher "
        "x-edge-response-result-type cs-protocol-version fle-status fle-encrypted-fields c-port "
        "time-to-first-byte x-edge-detailed-result-type sc-content-type sc-content-len sc-range-start "
        "sc-range-end"
    ).split()
)

# A field of version 2 logs: the country of the address according to CloudFront.
COUNTRY_FIELD = "c-country"

# Kept out of the lake: clear addresses, and cookies, which are credentials.
PRIVATE_FIELDS = ("c-ip", "x-forwarded-for", "cs(Cookie)")

ACCESS_LOGS = (
    Column("event_ts", TIMESTAMP, "When the request was answered (date and time of the log), UTC, to the second"),
    Column("request_type", TEXT, "`click` (path /c), `impression` (path /pxl.png), else `other`"),
    Column("request_id", TEXT, "CloudFront's id of the request; null requests are never merged", "x-edge-request-id"),
    Column("ip_hash", TEXT, "Keyed hash of the client address: HMAC-SHA256, its first 128 bits in hex"),
    Column("subnet_hash", TEXT, "Keyed hash of the client's network (/24 for IPv4, /48 for IPv6)"),
    Column("country", TEXT, "ISO 3166-1 code of the address, from the MaxMind database; else the log's own c-country"),
    Column("region", TEXT, "ISO 3166-2 subdivision, without its country"),
    Column("city", TEXT, "City, English name"),
    Column("method", TEXT, "HTTP method", "cs-method"),
    Column("host", TEXT, "Host of the distribution", "cs(Host)"),
    Column("path", TEXT, "Path, with CloudFront's one layer of percent-encoding taken off", "cs-uri-stem"),
    Column("query", TEXT, "Query string as logged, e-mail addresses and phone numbers replaced", "cs-uri-query"),
    Column("status", pa.int32(), "HTTP status; 0 where the client hung up (000)", "sc-status"),
    Column("bytes_sent", INT, "Bytes from the edge to the client, headers included", "sc-bytes"),
    Column("bytes_received", INT, "Bytes from the client to the edge", "cs-bytes"),
    Column("time_taken", REAL, "Seconds from the request's arrival to the last byte sent", "time-taken"),
    Column("referrer", TEXT, "Referer header, one layer of percent-encoding taken off", "cs(Referer)"),
    Column("user_agent", TEXT, "User-Agent header, one or two layers taken off", "cs(User-Agent)"),
    Column(
        "device_category",
        TEXT,
        "`desktop`, `mobile`, `tablet`, `tv`, `other`; machines: `bot`, `program`, `mail`; null without an agent",
    ),
    Column("browser_family", TEXT, "Browser family, as uap-core names it"),
    Column("os_family", TEXT, "Operating system family, as uap-core names it"),
    Column("is_bot", FLAG, "The user agent is a known machine, no person's browser; false where it is missing"),
    Column("order_id", TEXT, "Parameter oid of a click or impression"),
    Column("campaign_id", TEXT, "Parameter cid"),
    Column("publication_code", TEXT, "Parameter pid"),
    Column("channel", TEXT, "Parameter ch, as given"),
    Column("creative_id", TEXT, "Parameter cr"),
    Column("ad_size", TEXT, "Parameter s, such as 300x250"),
    Column("landing_url", TEXT, "Parameter r: where the click was sent"),
    Column("edge_location", TEXT, "Edge that answered", "x-edge-location"),
    Column("edge_result_type", TEXT, "How the edge answered: Hit, Miss, Error …", "x-edge-result-type"),
    Column(
        "edge_response_result_type",
        TEXT,
        "How the edge was about to answer, just before it did",
        "x-edge-response-result-type",
    ),
    Column("edge_detailed_result_type", TEXT, "How the edge answered, in detail", "x-edge-detailed-result-type"),
    Column("host_header", TEXT, "Host header of the request", "x-host-header"),
    Column("protocol", TEXT, "http, https, ws, wss", "cs-protocol"),
    Column("protocol_version", TEXT, "HTTP version", "cs-protocol-version"),
    Column("ssl_protocol", TEXT, "TLS version", "ssl-protocol"),
    Column("ssl_cipher", TEXT, "TLS cipher", "ssl-cipher"),
    Column("fle_status", TEXT, "Field-level encryption: status", "fle-status"),
    Column("fle_encrypted_fields", INT, "Field-level encryption: number of fields", "fle-encrypted-fields"),
    Column("client_port", INT, "Client's port", "c-port"),
    Column("time_to_first_byte", REAL, "Seconds to the first byte of the answer", "time-to-first-byte"),
    Column("content_type", TEXT, "Content-Type of the answer", "sc-content-type"),
    Column("content_length", INT, "Content-Length of the answer", "sc-content-len"),
    Column("range_start", INT, "First byte of a range answer", "sc-range-start"),
    Column("range_end", INT, "Last byte of a range answer", "sc-range-end"),
    Column("source_object", TEXT, "Object that the row came from"),
    Column("source_line", INT, "Line in that object, from 1, header lines included"),
)

EVENTS = (
    Column("event_ts", TIMESTAMP, "Time of the event by the sender's clock, UTC", role=Role.TIME),
    Column(
        "event_id",
        TEXT,
        "Id that was sent, else a hash of site, line, time and index in the batch; one id is one event",
        role=Role.ID,
    ),
    Column("event_type", TEXT, "Kind of event in snake case: `page_view`, `click`, `purchase` …", role=Role.WORD),
    Column("site_id", TEXT, "Site of the object's folder; without such a folder, the site that the event names"),
    Column(
        "tenant_id",
        TEXT,
        "Tenant that the site belongs to: of the rules, else of the object's folder `tenant=…`; null without both",
        is_repeated=True,
    ),
    Column("declared_site_id", TEXT, "Site or app that the event itself names", role=Role.NAME),
    Column("declared_tenant_id", TEXT, "Customer that the event itself names; no proof of its tenant", role=Role.NAME),
    Column("visitor_id", TEXT, "Visitor's id from the tracker; null for a placeholder, as in all ids", role=Role.ID),
    Column("client_session_id", TEXT, "Session's id from the tracker", role=Role.ID),
    Column(
        "user_id",
        TEXT,
        "User who is logged in; a keyed hash where it was an e-mail address or a phone number",
        role=Role.ID,
    ),
    Column("device_id", TEXT, "Device's id from the app", role=Role.ID),
    Column("advertising_id", TEXT, "Advertising id: gaid or idfa", role=Role.ID),
    Column("cookie_id", TEXT, "Cookie id", role=Role.ID),
    Column(
        "device_fingerprint",
        TEXT,
        "Fingerprint that was sent, else a hash of the device's traits; null with fewer than three traits",
        role=Role.ID,
    ),
    Column(
        "ip_hash", TEXT, "Keyed hash of the client address: HMAC-SHA256, its first 128 bits in hex", is_repeated=True
    ),
    Column("subnet_hash", TEXT, "Keyed hash of the client's network (/24 for IPv4, /48 for IPv6)", is_repeated=True),
    Column(
        "country", TEXT, "ISO 3166-1 code of the address, from the MaxMind database; null without one", is_repeated=True
    ),
    Column("region", TEXT, "ISO 3166-2 subdivision, without its country", is_repeated=True),
    Column("city", TEXT, "City, English name", is_repeated=True),
    Column("url", TEXT, "Address of the page, or its path with a query string, scrubbed", role=Role.ADDRESS),
    Column(
        "host",
        TEXT,
        "Host of the page in lower case, without a dot at its end; for a page without a host, the site's",
        is_repeated=True,
    ),
    Column("path", TEXT, "Path of the page", role=Role.PATH, is_repeated=True),
    Column("page_title", TEXT, "Title of the page", role=Role.TEXT),
    Column("referrer", TEXT, "Address that the visitor came from, scrubbed", role=Role.ADDRESS),
    Column("referrer_host", TEXT, "Host of the referrer, in lower case", is_repeated=True),
    Column(
        "utm_source",
        TEXT,
        "utm_source of the page's query string, else what the tracker sent; null for a placeholder",
        is_repeated=True,
    ),
    Column("utm_medium", TEXT, "utm_medium of the page's query string, else what the tracker sent", is_repeated=True),
    Column(
        "utm_campaign", TEXT, "utm_campaign of the page's query string, else what the tracker sent", is_repeated=True
    ),
    Column("utm_term", TEXT, "utm_term of the page's query string, else what the tracker sent", is_repeated=True),
    Column("utm_content", TEXT, "utm_content of the page's query string, else what the tracker sent", is_repeated=True),
    Column("click_id", TEXT, "Click id in the page's query string", is_repeated=True),
    Column(
        "click_id_kind",
        TEXT,
        "Parameter of the click id: gclid, fbclid, msclkid …, oid for links of our own; gad_source has no id",
        is_repeated=True,
    ),
    Column("campaign_id", TEXT, "Campaign that an app's event names", role=Role.NAME),
    Column("language", TEXT, "Language of the browser or app", role=Role.TEXT),
    Column("screen_width", INT, "Width of the screen in pixels", role=Role.NUMBER),
    Column("screen_height", INT, "Height of the screen in pixels", role=Role.NUMBER),
    Column("timezone", TEXT, "IANA name of the time zone", role=Role.TEXT),
    Column("user_agent", TEXT, "User agent", role=Role.AGENT, is_repeated=True),
    Column(
        "device_category",
        TEXT,
        "`desktop`, `mobile`, `tablet`, `tv`, `other`; machines: `bot`, `program`, `mail`; null without an agent",
        is_repeated=True,
    ),
    Column("browser_family", TEXT, "Browser family, as uap-core names it", is_repeated=True),
    Column("os_family", TEXT, "Operating system family, as uap-core names it", is_repeated=True),
    Column("is_bot", FLAG, "The user agent is a known machine, no person's browser; false where it is missing"),
    Column("revenue", MONEY, "Value that the event was sent with, whatever its type", role=Role.NUMBER),
    Column("currency", TEXT, "ISO 4217 code, in capitals", role=Role.CODE),
    Column("transaction_id", TEXT, "Id of the order that a purchase or a refund belongs to", role=Role.ID),
    Column("opted_out", FLAG, "The visitor has opted out of tracking; null if the event does not say", role=Role.FLAG),
    Column("gpc", FLAG, "The browser sends Global Privacy Control; null if the event does not say", role=Role.FLAG),
    Column("properties", TEXT, "JSON of all fields that have no column, scrubbed", role=Role.JSON),
    Column("source_identity", TEXT, "JSON: `identity` that the event already carried", role=Role.JSON),
    Column("source_normalized", TEXT, "JSON: `normalized` that the event already carried", role=Role.JSON),
    Column("shape", TEXT, "Shape of the event: one of docs/reference/event-shapes.md"),
    Column("batch_index", INT, "Index in its batch, from 0; null for an event that was sent alone"),
    Column("source_object", TEXT, "Object that the row came from", is_repeated=True),
    Column("source_line", INT, "Line in that object, from 1; in a JSON array, the number of the element"),
)

# Columns that hold keyed hashes, by dataset; ids are hashed where they are e-mail addresses or the like, or were made.
IDS_OF_EVENTS = tuple(column.name for column in EVENTS if column.role in (Role.ID, Role.NAME))
HASHED = {"access_logs": ("ip_hash", "subnet_hash"), "events": ("ip_hash", "subnet_hash", *IDS_OF_EVENTS)}

# Names that a schema of events may use in `x-column` although they are no columns: other columns are made from them.
EVENT_PARTS = (
    Column("page", TEXT, "`url` or `path`", role=Role.PAGE),
    Column("ip", TEXT, "`ip_hash`, `subnet_hash`, place", role=Role.IP),
    Column("sent_query", TEXT, "`utm_…`, `click_id`", role=Role.QUERY),
    Column("sent_utm_source", TEXT, "`utm_source`", role=Role.TAG),
    Column("sent_utm_medium", TEXT, "`utm_medium`", role=Role.TAG),
    Column("sent_utm_campaign", TEXT, "`utm_campaign`", role=Role.TAG),
    Column("sent_utm_term", TEXT, "`utm_term`", role=Role.TAG),
    Column("sent_utm_content", TEXT, "`utm_content`", role=Role.TAG),
    Column("viewport_width", TEXT, "`device_fingerprint`", role=Role.TRAIT),
    Column("viewport_height", TEXT, "`device_fingerprint`", role=Role.TRAIT),
    Column("pixel_ratio", TEXT, "`device_fingerprint`", role=Role.TRAIT),
    Column("platform", TEXT, "`device_fingerprint`", role=Role.TRAIT),
)

# The values that a device without a fingerprint is recognized by: trait → columns. Names and order are hashed.
DEVICE_TRAITS = {
    "screen": ("screen_width", "screen_height"),
    "viewport": ("viewport_width", "viewport_height"),
    "pixel_ratio": ("pixel_ratio",),
    "user_agent": ("user_agent",),
    "timezone": ("timezone",),
    "language": ("language",),
    "platform": ("platform",),
}

# Values from the path of each raw file, in Hive's format.
RAW_PARTITIONS = (
    Column("event_date", pa.date32(), "Day of event_ts, UTC; from the path"),
    Column("source_date", pa.date32(), "Day that the object's key names; from the path"),
)
RAW = {"access_logs": (*ACCESS_LOGS, *RAW_PARTITIONS), "events": (*EVENTS, *RAW_PARTITIONS)}

REJECTS = (
    Column("dataset", TEXT, "Dataset that the row was meant for"),
    Column("source_object", TEXT, "Object that holds the row"),
    Column("source_line", INT, "Line in that object, from 1"),
    Column("reason", TEXT, "Reason: one of the documented codes"),
    Column("detail", TEXT, "Detail of the reason, such as the field that breaks its schema"),
    Column("line", TEXT, "The line, without addresses, e-mails and phone numbers, 8 KiB at most"),
)

LEDGER = (
    Column("source_object", TEXT, "Object: its key below the source, or its path in the source folder"),
    Column("etag", TEXT, "Version of its content, from the listing"),
    Column("size", INT, "Bytes, as stored"),
    Column("modified", TIMESTAMP, "Time when it was stored, UTC"),
    Column("format", TEXT, "`text`, `json`, `parquet` or `empty`"),
    Column("rows_read", INT, "Rows in the object: kept + rejected + duplicates"),
    Column("rows_kept", INT, "Rows in raw"),
    Column("rows_rejected", INT, "Rejected rows; only the first ones of an object are in rejects"),
    Column("rows_duplicate", INT, "Rows whose request or event is in raw already"),
    Column("unreadable_numbers", INT, "Values that should be numbers and are null instead"),
    Column("error", TEXT, "Why the object could not be read to its end, else null"),
    Column("missing_fields", pa.list_(TEXT), "Required fields that its header does not name"),
    Column("unknown_fields", pa.list_(TEXT), "Fields of its header that are not kept"),
    Column("event_dates", pa.list_(TEXT), "Event dates of its kept rows"),
    Column("fields", pa.map_(TEXT, INT), "Field → rows that have it; fields of events are `shape.name:type`"),
)

DATA_QUALITY = (
    Column("judged_at", TIMESTAMP, "Time of the check, UTC"),
    Column("layer", TEXT, "`raw`, `marts` or `publishing`"),
    Column("table", TEXT, "Table, or collection in MongoDB, that was checked"),
    Column("day", pa.date32(), "Day that was checked"),
    Column("site", TEXT, "Site, if each site is checked separately; else null"),
    Column("check", TEXT, "Check, or dbt test"),
    Column("severity", TEXT, "`error`: it stops the day; `warn`: it does not"),
    Column("status", TEXT, "`passed`, `failed`, `warned`, `released`, or `not_run`: something above it failed"),
    Column("failures", INT, "Failing rows of a dbt test; else null"),
    Column("message", TEXT, "Result in words; for a release, also by whom and why"),
    Column("figures", TEXT, "JSON of the check's figures"),
    Column("seconds", REAL, "Seconds that the check took; null if unknown"),
)
# Values from the path of each file, in Hive's format.
DATA_QUALITY_PARTITIONS = (
    Column("judged_date", pa.date32(), "Day of `judged_at`"),
    Column("run_id", TEXT, "Run in Dagster"),
    Column("step", TEXT, "Step of that run"),
)


def arrow_schema(columns: tuple[Column, ...]) -> pa.Schema:
    return pa.schema([(column.name, column.type) for column in columns])
