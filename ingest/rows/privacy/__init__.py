"""Privacy at ingest: addresses become keyed hashes; e-mail addresses, phone numbers and private fields become markers.

`normal_form.py` brings text into one normal form, `personal.py` finds personal data in it. `names.py` recognizes
private fields by their names, `fields.py` finds them in JSON, valid or broken. `columns.py` scrubs whole columns.
"""

from __future__ import annotations

from ingest.rows.privacy.columns import SUSPECT, scrub_column, scrub_json_column, scrub_machine_ids
from ingest.rows.privacy.fields import FIELD_MARKER, scrub_json, scrub_json_line
from ingest.rows.privacy.hashes import HASH_BYTES, MIN_KEY_BYTES, keyed_digest, keyed_hash, normal_address
from ingest.rows.privacy.normal_form import normal_form
from ingest.rows.privacy.personal import ADDRESS_MARKER, EMAIL_MARKER, PHONE_MARKER, scrub, scrub_line
from ingest.rows.privacy.rotation import chained, rekeying

__all__ = [
    "ADDRESS_MARKER",
    "EMAIL_MARKER",
    "FIELD_MARKER",
    "HASH_BYTES",
    "MIN_KEY_BYTES",
    "PHONE_MARKER",
    "SUSPECT",
    "chained",
    "keyed_digest",
    "keyed_hash",
    "normal_address",
    "normal_form",
    "rekeying",
    "scrub",
    "scrub_column",
    "scrub_json",
    "scrub_json_column",
    "scrub_json_line",
    "scrub_line",
    "scrub_machine_ids",
]
