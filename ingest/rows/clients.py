"""Turns user agents and addresses into the columns that the lake keeps. The address itself is not kept.

Each distinct user agent and address of a run is looked up once; a day has few agents but very many addresses.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from ingest.rows.columns import hex_texts, remapped
from ingest.rows.enrich import NOWHERE, Geo, Place, Remembered, UserAgent, parse_user_agent
from ingest.rows.once import OncePerText
from ingest.rows.privacy import HASH_BYTES, keyed_digest, keyed_hash, normal_address, rekeying, scrub

# Addresses that are remembered, in each of two generations; one takes 190 bytes. A busy day has half a million.
ADDRESSES = 400_000
_OF_AGENT = ("user_agent", "device_category", "browser_family", "os_family")
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
        self._agents = OncePerText(self._agent, _agent_texts, width=len(_OF_AGENT) + 1)
        self._hashes = OncePerText(self._digests_of_address, _hash_texts, width=2, size=ADDRESSES)
        self._places = Remembered(self._place)

    def agent_columns(self, logged: pa.DictionaryArray) -> dict[str, pa.Array]:
        """user_agent, device_category, browser_family, os_family and is_bot (false for null)."""
        *texts, is_bot = self._agents(logged)
        return dict(zip(_OF_AGENT, texts, strict=True)) | {"is_bot": is_bot.is_valid()}

    def address_columns(
        self, logged: pa.DictionaryArray, countries: pa.DictionaryArray | None = None
    ) -> dict[str, pa.Array]:
        """ip_hash and subnet_hash, null for an invalid address; country, region and city if there is a geo database.

        Args:
            countries: countries of the addresses according to the sender, used if the database has none.
        """
        of_address, of_network = self._hashes(logged)
        columns = {"ip_hash": self.rekeyed(of_address), "subnet_hash": self.rekeyed(of_network)}
        if self._geo.is_open:
            places = self._places(logged.dictionary.to_pylist())
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


def _agent_texts(agents: list[tuple[str, UserAgent]]) -> list[pa.Array]:
    """The columns `_OF_AGENT`, and one that is null but for robots."""
    rows = [(text, *agent[:-1], "bot" if agent.is_bot else None) for text, agent in agents]
    columns = zip(*rows, strict=True) if rows else [()] * (len(_OF_AGENT) + 1)
    return [pa.array(values, pa.string()) for values in columns]


def _hash_texts(digests: list[bytes]) -> list[pa.Array]:
    """The hashes of the addresses and of the networks, in hex digits; null for an invalid address."""
    matrix = np.frombuffer(b"".join(digests), dtype=np.uint8).reshape(-1, 2 * HASH_BYTES)
    return [hex_texts(matrix[:, :HASH_BYTES]), hex_texts(matrix[:, HASH_BYTES:])]


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
