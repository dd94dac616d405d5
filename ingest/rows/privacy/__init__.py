"""Privacy at the door: addresses become keyed hashes, e-mail addresses, phone numbers and private fields markers.

Text is looked at in one normal form (`normal_form.py`); what is personal in it is found in `personal.py`, fields by
their names (`names.py`) in JSON, whole or broken (`fields.py`); whole columns go through `columns.py`.
"""

from __future__ import annotations

from ingest.rows.privacy.columns import SUSPECT, scrub_column, scrub_json_column, scrub_machine_ids
from ingest.rows.privacy.fields import FIELD_MARKER, scrub_json, scrub_json_line
from ingest.rows.privacy.hashes import HASH_BITS, MIN_KEY_BYTES, keyed_hash, normal_address
from ingest.rows.privacy.normal_form import normal_form
from ingest.rows.privacy.personal import ADDRESS_MARKER, EMAIL_MARKER, PHONE_MARKER, scrub, scrub_line

__all__ = [
    "ADDRESS_MARKER",
    "EMAIL_MARKER",
    "FIELD_MARKER",
    "HASH_BITS",
    "MIN_KEY_BYTES",
    "PHONE_MARKER",
    "SUSPECT",
    "keyed_hash",
    "normal_address",
    "normal_form",
    "scrub",
    "scrub_column",
    "scrub_json",
    "scrub_json_column",
    "scrub_json_line",
    "scrub_line",
    "scrub_machine_ids",
]
