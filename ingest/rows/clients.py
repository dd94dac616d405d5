"""Turns user agents and addresses into the columns that the lake keeps. The address itself is not kept.

Each distinct user agent and address of a run is looked up once; a day has few agents but very many addresses.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from ingest.rows.columns import codes_of, hex_texts, remapped
from ingest.rows.enrich import NOWHERE, Geo, Place, Remembered, UserAgent, parse_user_agent
from ingest.rows.privacy import HASH_BYTES, keyed_digest, keyed_hash, normal_address, rekeying, scrub

# Addresses that are remembered, in each of two generations; one takes 190 bytes. A busy day has half a million.
ADDRESSES = 400_000
_NO_ADDRESS = bytes(2 * HASH_BYTES)  # in place of the two hashes of an invalid one


class Clients:
    """Safe to use from several threads.

    Args:
        hash_key: the secret key of the keyed hashes.
        geo: the geo database; it may be closed.
        decode_agent: turns the logged text of a user agent into the user agent.
        later_keys: the keys that came after it; columns of ids are to be passed through `rekeyed`.
    """

    def __init__(
        self, hash_key: str, geo: Geo, decode_agent: Callable[[str], str] = str, later_keys: Sequence[str] = ()
    ) -> None:
        self.hash = keyed_hash(hash_key)
        self._digest = keyed_digest(hash_key)
        self.rekeyed = rekeying(later_keys)
        self._geo = geo
        self._decode_agent = decode_agent
        self._agents = Remembered(self._agent)
        self._address_digests = Remembered(self._digests_of_address, ADDRESSES)
        self._places = Remembered(self._place)

    def agent_columns(self, logged: pa.DictionaryArray) -> dict[str, pa.Array]:
        """user_agent, device_category, browser_family, os_family and is_bot (false for null)."""
        found = self._agents(logged.dictionary.to_pylist())
        columns: dict[str, pa.Array] = {
            "user_agent": remapped(logged, pa.array([text for text, _ in found], pa.string()))
        }
        for position, name in enumerate(("device_category", "browser_family", "os_family")):
            columns[name] = remapped(logged, pa.array([agent[position] for _, agent in found], pa.string()))
        is_bot = pa.array([*(agent.is_bot for _, agent in found), False])
        columns["is_bot"] = is_bot.take(pa.array(codes_of(logged)))
        return columns

    def address_columns(
        self, logged: pa.DictionaryArray, countries: pa.DictionaryArray | None = None
    ) -> dict[str, pa.Array]:
        """ip_hash and subnet_hash, null for an invalid address; country, region and city if there is a geo database.

        Args:
            countries: countries of the addresses according to the sender, used if the database has none.
        """
        values = logged.dictionary.to_pylist()
        digests = np.frombuffer(b"".join(self._address_digests(values)), dtype=np.uint8).reshape(-1, 2 * HASH_BYTES)
        columns = {
            "ip_hash": self.rekeyed(remapped(logged, hex_texts(digests[:, :HASH_BYTES]))),
            "subnet_hash": self.rekeyed(remapped(logged, hex_texts(digests[:, HASH_BYTES:]))),
        }
        if self._geo.is_open:
            places = self._places(values)
            for position, name in enumerate(("country", "region", "city")):
                columns[name] = remapped(logged, pa.array([place[position] for place in places], pa.string()))
        if countries is not None:
            codes = remapped(countries, pa.array(map(_country, countries.dictionary.to_pylist()), pa.string()))
            found = columns.get("country")
            columns["country"] = codes if found is None else _coalesced(found, codes)
        return columns

    def _agent(self, logged: str) -> tuple[str, UserAgent]:
        agent = self._decode_agent(logged)
        return scrub(agent), parse_user_agent(agent)

    def _digests_of_address(self, logged: str) -> bytes:
        """The hashes of an address and of its network, joined. Bytes take half the memory of digits."""
        normal = normal_address(logged)
        return _NO_ADDRESS if normal is None else self._digest(normal[0]) + self._digest(normal[1])

    def _place(self, logged: str) -> Place:
        normal = normal_address(logged)
        return NOWHERE if normal is None else self._geo.look_up(normal[0])


# Codes of two letters that are no countries: unknown, and regions that geo databases have returned.
_NO_COUNTRIES = ("ZZ", "XX", "EU", "AP")


def _country(code: str) -> str | None:
    """An ISO 3166-1 code in capitals; None if the text cannot be one."""
    code = code.strip().upper()
    return code if len(code) == 2 and code.isascii() and code.isalpha() and code not in _NO_COUNTRIES else None


def _coalesced(first: pa.DictionaryArray, second: pa.DictionaryArray) -> pa.DictionaryArray:
    """The first value if it is not null, else the second."""
    if not first.null_count or second.null_count == len(second):
        return first
    return pc.coalesce(first.cast(pa.string()), second.cast(pa.string())).dictionary_encode()
