"""Recognizes private fields and parameters by their names.

A name is split into words (`customerEmailAddress` → customer, email, address). Its last word decides, after suffixes
such as a number, `address`, `no` or `confirm` are removed. So `contact_email_2` is an e-mail address, and
`email_campaign` is a campaign.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Literal

Kind = Literal["email", "phone", "address", "person"]

_WORD = re.compile(r"[A-Z]{2,}(?![a-z])|[A-Z]?[a-z]+|[A-Z]|[0-9]+")
_NOT_A_LETTER = re.compile(r"[^a-z]+")
# Suffixes after the deciding word: they say which one of several it is, or that it is a value.
_AFTER = frozenset(
    "address addresses addr no nr num number numbers value values raw text input field confirm confirmation repeat "
    "verify primary secondary alternative alt home work office private business main new old normalized required "
    "optional s".split()
)
# Prefixes of a flag or a count, whatever follows.
_BEFORE = frozenset("is has was can should allow allows show use uses enable enabled count num optin optout".split())
_PHONES = frozenset(
    "phone phones telephone telephones tel mobile mobiles cell msisdn fax gsm whatsapp telefon telefono".split()
)
_NO_PHONE = ("headphone", "earphone", "microphone", "smartphone", "iphone", "saxophone", "windowsphone", "megaphone")
# Patterns for all the letters of a name, or for their end.
_EMAIL = re.compile(r"\Ae?mail(?:id)?s?\Z|email(?:address|addr|id)?s?\Z")
_PHONE = re.compile(r"(?:phone|mobile|\Atel|\Atelephone|\Acell|\Afax)(?:number|num|nr|no)s?\Z")
_ADDRESS = re.compile(
    r"\A(?:client|user|remote|real|source|src|visitor|customer|public|private|local|peer|sender|request|login|last|"
    r"current|your|my|x|host|server|true|connecting){0,3}(?:ip|ips|ipv|ipaddress|ipaddr|ipaddresses)\Z|"
    r"remoteaddr(?:ess)?\Z|\A(?:x|http){0,2}forwarded(?:for)?\Z|forwardedfor\Z|\Axff\Z"
)
_PERSON = re.compile(
    r"(?:first|middle|last|full|maiden|given|family|sur)names?\Z|\A[fl]name\Z|"
    r"(?:customer|client|contact|person|recipient|holder|billing|shipping|your|my)name\Z|"
    r"birth(?:day|date)\Z|dateofbirth\Z|password\Z|secret\Z|(?:card|cc)(?:number|no)\Z|"
    r"street\Z|address(?:line|es)?\Z|postalcode\Z|postcode\Z|zipcode\Z|\Asetcookie\Z|\Acscookie\Z|\Aauthorization\Z"
)
_PERSON_WORDS = frozenset("zip dob ssn pwd passwd cvv cvc iban cookie cookies".split())
# Addresses that are not a person's.
_NO_PERSON = re.compile(r"(?:web|page|site|link|url|http|wallet|mac|ether|memory|return)address(?:es)?\Z")

NAME_KEYS = frozenset(("name", "id", "key", "field", "label"))  # keys of a pair of a name and a value
VALUE_KEY = "value"
# Fields about a person: a plain `name` in them is the person's; elsewhere it is a product's or a form's.
_PEOPLE = frozenset(
    "form fields formdata formfields formvalues inputs contact contacts customer customers user users person "
    "persons people profile traits billing shipping recipient recipients guest guests passenger passengers".split()
)
_THINGS = frozenset(
    "item items product products cart plan company organization organisation campaign subscription order orders".split()
)
_ABOUT = re.compile(r"(?<!form)(?:details?|info|data)\Z")


@lru_cache(20_000)
def kind_of(name: str) -> Kind | None:
    """What a field of this name holds; None if it is not private."""
    words = [word.lower() for word in _WORD.findall(name[:100])]
    if not words or words[0] in _BEFORE:
        return None
    while words:
        kind = _kind(words)
        if kind is not None:
            return kind
        if not (words[-1].isdigit() or words[-1] in _AFTER):
            return None
        words.pop()
    return None


def _kind(words: list[str]) -> Kind | None:
    joined = _NOT_A_LETTER.sub("", "".join(words))
    last = words[-1] if not words[-1].isdigit() else ""
    if last in ("email", "emails", "mail", "mails") or _EMAIL.search(joined):
        return "email"
    if last in _PHONES or _PHONE.search(joined) or (last.endswith("phone") and not last.endswith(_NO_PHONE)):
        return None if joined.endswith(_NO_PHONE) else "phone"
    if last in ("ip", "ips") or _ADDRESS.search(joined):
        return "address"
    if (last in _PERSON_WORDS or joined in _PERSON_WORDS or _PERSON.search(joined)) and not _NO_PERSON.search(joined):
        return "person"
    return None


def is_of_people(name: str, was: bool) -> bool:
    """Whether a plain `name` within this field is a person's. `was`: whether that holds for the field around it."""
    plain = _ABOUT.sub("", _NOT_A_LETTER.sub("", name.lower()))
    return plain in _PEOPLE or (was and plain not in _THINGS)
