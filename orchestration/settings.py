"""All settings, and the only code that reads them. Each is `CLICKLAKE_<NAME>`, from the environment or `.env`."""

from __future__ import annotations

import difflib
import json
import math
import os
import re
from contextlib import suppress
from datetime import date
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar
from urllib.parse import parse_qsl, unquote, urlsplit

from dotenv import dotenv_values
from pydantic import (
    AfterValidator,
    Field,
    SecretStr,
    ValidationError,
    ValidationInfo,
    field_validator,
    model_validator,
)
from pydantic_core import PydanticCustomError
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from ingest.errors import SettingsError
from ingest.lake.files import Lake
from ingest.lake.s3 import S3Options
from ingest.partition.audit import Limits
from ingest.partition.day import IngestOptions
from ingest.rows.privacy import MIN_KEY_BYTES
from ingest.words import sentence

PREFIX = "CLICKLAKE_"
TEST_PREFIX = "CLICKLAKE_TEST_"  # read by the test suite alone

PLACES = ("lake", "rules", "logs", "events")  # settings that name places of files

MAKE_A_KEY = "Make one: openssl rand -base64 48"
JSON = "json"  # a value of log_format
NO_SOURCE = "no_source"  # the type of pydantic's error where no source is set

S3_KEYS = "Set CLICKLAKE_S3_ACCESS_KEY_ID and CLICKLAKE_S3_SECRET_ACCESS_KEY, or use AWS's own ways, for keys"
_SIZE = re.compile(r"([0-9]{1,6}(?:\.[0-9]{1,6})?)\s*(%|[KMGT](?:i?B)?)", re.IGNORECASE)  # of memory; DuckDB takes more
SECRET_LENGTH = 8  # shorter values in a url are words, such as a retry's `true`, and no secrets


def _url(scheme: str, expected: str, if_secret: str | None = None) -> AfterValidator:
    """A validator of urls: this scheme or its TLS form, and a host.

    Args:
        if_secret: the error for a user or a query in the url; None for urls that are kept secret.
    """

    def checked(value: Any) -> Any:
        url = value.get_secret_value() if isinstance(value, SecretStr) else value
        begins = url and url.partition("://")[0].lower() in (scheme, f"{scheme}s")
        if url and not (begins and urlsplit(url).hostname):
            raise ValueError(f"must be {expected}")
        if url and if_secret and (_names_more_than_a_host(url) or urlsplit(url).query):
            raise ValueError(if_secret)
        return value

    return AfterValidator(checked)


def _names_more_than_a_host(url: str) -> bool:
    """Whether a url holds a user or a password, which would be shown with the url."""
    return "@" in url.partition("://")[2].partition("/")[0]


class PartitionSettings(BaseSettings):
    """Settings that Dagster's definitions depend on. They are read at import and hold no secret."""

    model_config = SettingsConfigDict(
        env_prefix=PREFIX, env_file=".env", extra="ignore", frozen=True, hide_input_in_errors=True
    )

    first_day: date = Field(date(2015, 1, 1), description="First daily partition, UTC")
    backfill_window_days: int = Field(30, ge=1, le=366, description="Days that one run of a backfill takes")
    log_format: Literal["text", "json"] = Field(
        "text", description="Logs of runs and commands: text, or JSON, one object a line"
    )

    @field_validator("*")
    @classmethod
    def _is_finite(cls, value: Any) -> Any:
        if isinstance(value, float) and not math.isfinite(value):
            raise ValueError("must be a number, and no infinite one")
        return value


class LakeSettings(PartitionSettings):
    """The settings that are needed to read the lake."""

    lake: str = Field(description="Where the lake is: s3://bucket/prefix or a folder")
    rules: str | None = Field(
        None,
        description="Where your rules are, rules.yml and reference tables: a folder or s3://bucket/prefix; without it "
        "`rules/` in the lake",
    )

    s3_endpoint_url: Annotated[
        str | None, _url("http", "a URL, such as https://s3.example.com", f"must name host and port alone. {S3_KEYS}")
    ] = Field(None, description="S3 API other than AWS's own")
    s3_region: str | None = Field(None, description="Region; without it that of AWS's default chain")
    s3_access_key_id: SecretStr | None = Field(None, description="Access key; without it AWS's default chain")
    s3_secret_access_key: SecretStr | None = Field(None, description="Secret key, with the access key")
    s3_session_token: SecretStr | None = Field(None, description="Session token of temporary keys")

    @field_validator("lake", "rules", "logs", "events", check_fields=False)
    @classmethod
    def _is_a_place(cls, value: str | None, field: ValidationInfo) -> str | None:
        is_optional = not cls.model_fields[str(field.field_name)].is_required()
        if value is None or (not value and is_optional):  # compose gives a variable that is not set as ""
            return None
        scheme = value.partition("://")[0] if "://" in value else "file"
        if not value.strip() or scheme not in ("s3", "file"):
            raise ValueError("must be a folder or s3://bucket/prefix")
        if scheme == "file" and "://" in value and not value.startswith("file:///"):
            raise ValueError("must have no host, as in file:///data/lake")
        if scheme == "s3":
            if not value.removeprefix("s3://").strip("/ ") or value.startswith("s3:///"):
                raise ValueError("names no bucket: must be s3://bucket/prefix")
            if _names_more_than_a_host(value):
                raise ValueError(f"must name bucket and prefix alone. {S3_KEYS}")
            return value
        # Absolute, because dbt is started in another working directory.
        return str(Path(value.removeprefix("file://")).expanduser().absolute())

    @field_validator("events", check_fields=False)
    @classmethod
    def _holds_sites(cls, value: str | None) -> str | None:
        """Rejects a site's own folder: its events would belong to a site called unknown."""
        sites = [part for part in (value or "").split("/") if part.startswith("domain=")]
        if sites:
            raise ValueError(f"lies within {sites[0]}, a site's own folder. Name the folder that holds {sites[0]}")
        return value

    @property
    def s3(self) -> S3Options:
        return S3Options(
            endpoint_url=self.s3_endpoint_url,
            region=self.s3_region,
            access_key_id=_revealed(self.s3_access_key_id),
            secret_access_key=_revealed(self.s3_secret_access_key),
            session_token=_revealed(self.s3_session_token),
        )

    def open_lake(self) -> Lake:
        return Lake(self.lake, self.s3)


class DraftSettings(LakeSettings):
    """The settings that are needed to check rules that no lake has yet."""

    lake: str | None = None  # type: ignore[assignment]


class PlaceSettings(LakeSettings):
    """The places of the lake and its sources; the sources are optional."""

    logs: str | None = None
    events: str | None = None


class Settings(LakeSettings):
    """All settings; read when a run, a sensor or a command starts."""

    logs: str | None = Field(
        None,
        description="Where the access logs are: s3://bucket/prefix or a folder; without it there are no logs. Logs, "
        "events or both must be set",
    )
    events: str | None = Field(
        None,
        validate_default=True,
        description="Where the event files are: s3://bucket/prefix or a folder, which holds `domain=<site>/` folders; "
        "without it there are no events",
    )
    logs_kept_days: int | None = Field(
        None,
        ge=1,
        le=36_500,
        description="Days after which the source deletes logs: a published day as old as that is not read again. "
        "Without it the source keeps all",
    )
    events_kept_days: int | None = Field(None, ge=1, le=36_500, description="The same of events")
    quiet_after_hours: float = Field(
        24.0,
        ge=0,
        le=87_600,
        description="Hours after its end at which a day without objects is quiet, and published without rows, if the "
        "source has objects of earlier and later days. CloudFront delivers some logs up to 24 hours late",
    )
    deletions_correct: bool = Field(
        False,
        description="An object that is deleted at the source corrects its day, which is published without it. "
        "Otherwise such a day is refused, and its last good version stands",
    )
    hash_key: SecretStr = Field(
        description=f"Secret of the keyed hashes of addresses: at least {MIN_KEY_BYTES} bytes, random, never changed. "
        + MAKE_A_KEY
    )

    hash_keys_before: Annotated[tuple[SecretStr, ...], NoDecode] = Field(
        (),
        description="The hash keys before it, the first one first, as a JSON list of texts. All of them stay in force "
        "together; `clicklake rekey` changes the lake from one to the next",
    )

    mongodb_url: SecretStr | None = Field(
        None,
        description="mongodb://… that entries are published to; without it nothing is published, and the marts are "
        "the result",
    )
    mongodb_database: str = Field("clicklake", description="Database of performance_entries and campaign_performance")

    geoip_database: Path | None = Field(
        None,
        description="MaxMind City database (.mmdb); without it region and city are null, and so is country where the "
        "log has no c-country",
    )
    max_age_days: int = Field(
        400, ge=1, le=36_500, description="Rows older than this before their source day are rejected"
    )
    workers: int = Field(2, ge=1, le=64, description="Threads that decompress and parse")
    reader: Literal["auto", "native", "python"] = Field(
        "auto",
        description="How objects are read: native, with the compiled core; python, at half the speed; auto is native "
        "where the core is compiled. Both give the same rows",
    )

    max_reject_share: float = Field(
        0.05,
        ge=0,
        le=1,
        description="A day with a larger share of rejected rows is refused; for events, a site's day",
    )
    unreadable_rows: int = Field(
        20,
        ge=1,
        description="An object with at least this many rows, all of them rejected, is unreadable and refuses its day",
    )
    rejects_kept: int = Field(
        10_000,
        ge=1,
        description="Rejects kept of each object, the first ones; all are counted",
    )
    volume_factor: float = Field(
        3.0,
        gt=1,
        description="A number of rows outside median/factor … median×factor of the same weekday is suspicious",
    )
    volume_blocks: bool = Field(False, description="Refuse a day of suspicious volume, instead of a warning")

    sensor_lookback_days: int = Field(
        7, ge=1, le=3_650, description="Days back that the sensor compares with the ledger"
    )

    settle_minutes: int = Field(
        15,
        ge=0,
        le=525_600,
        description="Minutes that a source must be quiet before late objects of a day make it run again; four times "
        "as long at most",
    )
    max_late_runs: int = Field(6, ge=1, description="Runs that late objects of a day may cause in 24 hours")

    alert_webhook_url: Annotated[SecretStr | None, _url("http", "a url, such as https://hooks.example.com/…")] = Field(
        None, description="Where alerts are posted as JSON; the url is a secret"
    )
    alert_email_to: str | None = Field(
        None,
        description="Recipients of alerts by mail; addresses separated by commas. Needs the next two settings",
    )
    alert_email_from: str | None = Field(None, description="Sender of these mails")
    smtp_url: Annotated[
        SecretStr | None, _url("smtp", "smtp://user:password@host:port or smtps://user:password@host:port")
    ] = Field(None, description="smtp://user:password@host:port, or smtps://…, for these mails")
    alert_late_hours: float = Field(12.0, gt=0, le=87_600, description="A source with no new object for longer is late")
    alert_min_impressions: int = Field(
        1000, ge=1, description="Campaigns with fewer valid impressions a day are not judged"
    )
    alert_ctr_drop: float = Field(
        0.5, gt=0, lt=1, description="A CTR that is lower than usual by more than this share is an alert"
    )
    alert_delivery_share: float = Field(
        0.5,
        gt=0,
        lt=1,
        description="Fewer impressions than this share of the usual number are an alert",
    )

    openlineage_url: Annotated[
        str | None,
        _url(
            "http",
            "a url, such as https://marquez.example.com/api/v1/lineage",
            "must hold neither a user nor a key; set CLICKLAKE_OPENLINEAGE_API_KEY",
        ),
    ] = Field(
        None,
        description="Where OpenLineage events of runs are posted, such as https://marquez.example.com/api/v1/lineage",
    )
    openlineage_api_key: SecretStr | None = Field(None, description="Bearer token for the OpenLineage receiver")
    openlineage_namespace: str = Field("clicklake", description="Namespace of the jobs in these events")

    duckdb_memory_limit: str | None = Field(
        None, description="Memory of DuckDB in dbt, such as 4GB, 512MiB or 50%; 70% without it"
    )
    duckdb_temp_directory: Path | None = Field(
        None, description="Where DuckDB spills what exceeds its memory; the system's folder without it"
    )
    publish_report: Path | None = Field(
        None,
        description="Where dbt reports what it published, when it is run by hand",
    )

    @field_validator("events")
    @classmethod
    def _is_a_source_set(cls, value: str | None, others: ValidationInfo) -> str | None:
        if value is None and "logs" in others.data and others.data["logs"] is None:
            raise PydanticCustomError(
                NO_SOURCE,
                "Neither CLICKLAKE_LOGS nor CLICKLAKE_EVENTS is set. Set where the access logs are, where the event "
                "files are, or both: s3://bucket/prefix or a folder",
            )
        return value

    @field_validator("hash_keys_before", mode="before")
    @classmethod
    def _is_a_list(cls, value: Any) -> Any:
        if not isinstance(value, str):
            return value
        try:
            found = json.loads(value) if value.strip() else []
        except ValueError:
            found = None
        if not isinstance(found, list) or not all(isinstance(each, str) for each in found):
            raise ValueError('must be a JSON list of texts, such as ["the first key", "the second key"]')
        return tuple(found)

    @field_validator("hash_key", "hash_keys_before")
    @classmethod
    def _is_long(cls, value: Any) -> Any:
        for key in value if isinstance(value, tuple) else (value,):
            if len(key.get_secret_value().strip().encode()) < MIN_KEY_BYTES:  # blanks at its ends add no secret
                raise ValueError(f"is shorter than {MIN_KEY_BYTES} bytes, and could be guessed. {MAKE_A_KEY}")
        return value

    @field_validator("duckdb_memory_limit")
    @classmethod
    def _is_size(cls, value: str | None) -> str | None:
        if not value:
            return value
        found = _SIZE.fullmatch(value.strip())
        if not found or not 0 < float(found[1]) <= (100 if found[2] == "%" else math.inf):
            raise ValueError("must be a size such as 4GB or 512MiB, or a share of the memory such as 70%")
        return value

    @field_validator("mongodb_url")
    @classmethod
    def _is_mongodb(cls, value: SecretStr | None) -> SecretStr | None:
        if value and not value.get_secret_value().startswith(("mongodb://", "mongodb+srv://")):
            raise ValueError("must start with mongodb:// or mongodb+srv://")
        return value

    @model_validator(mode="after")
    def _mails_can_be_sent(self) -> Settings:
        if self.alert_email_to and not (self.alert_email_from and self.smtp_url):
            raise ValueError("CLICKLAKE_ALERT_EMAIL_TO needs CLICKLAKE_ALERT_EMAIL_FROM and CLICKLAKE_SMTP_URL as well")
        return self

    def redacted(self, text: str) -> str:
        """The text with every secret replaced by `[secret]`; for error texts that leave this machine."""
        for field in type(self).model_fields:
            value = getattr(self, field)
            for each in value if isinstance(value, tuple) else (value,):
                for part in _secrets_of(each.get_secret_value()) if isinstance(each, SecretStr) else ():
                    text = text.replace(part, "[secret]")
        return text

    def hash_keys(self) -> tuple[str, ...]:
        """All hash keys, the first one first."""
        return tuple(key.get_secret_value() for key in (*self.hash_keys_before, self.hash_key))

    def ingest_options(self) -> IngestOptions:
        first, *later = self.hash_keys()
        return IngestOptions(
            hash_key=first,
            later_keys=tuple(later),
            geoip_database=self.geoip_database,
            max_age_days=self.max_age_days,
            workers=self.workers,
            reader=self.reader,
            limits=Limits(
                self.max_reject_share, self.volume_factor, self.volume_blocks, self.unreadable_rows, self.rejects_kept
            ),
        )

    def mongodb(self) -> str:
        """The url of MongoDB with its password, only for the client. Raises SettingsError if it is not set."""
        if not self.mongodb_url:
            raise SettingsError(
                "CLICKLAKE_MONGODB_URL is not set, so nothing can be published. Set it to mongodb://host:port"
            )
        return self.mongodb_url.get_secret_value()

    def environment(self) -> dict[str, str]:
        """The settings that dbt's process needs, as environment variables. It asks whether a source is set, and reads
        none.

        Neither the hash key nor MongoDB's password is among them.
        """
        names = [name for name in Settings.model_fields if name in PLACES or name.startswith(("s3_", "duckdb_"))]
        values = {name: getattr(self, name) for name in names}
        values = {name: each.absolute() if isinstance(each, Path) else each for name, each in values.items()}
        return {
            f"{PREFIX}{name}".upper(): value.get_secret_value() if isinstance(value, SecretStr) else str(value)
            for name, value in values.items()
            if value is not None
        }


Kind = TypeVar("Kind", bound=PartitionSettings)


def load_settings() -> Settings:
    """Reads all settings.

    Raises:
        SettingsError: names every setting that is missing, unknown or invalid, without its value.
    """
    return _load(Settings)


def load_lake_settings() -> LakeSettings:
    """Reads only the settings of the lake. Raises as `load_settings` does."""
    return _load(LakeSettings)


def load_rules_settings() -> LakeSettings:
    """Reads the settings of the lake, which may be missing where CLICKLAKE_RULES is set. Raises as `load_settings`
    does."""
    draft = _load(DraftSettings)
    return draft if draft.rules else load_lake_settings()


def folder_around(path: Path) -> str | None:
    """The setting whose folder holds this path, else None. Commands write their output into none of these folders."""
    places = _load(PlaceSettings)
    for name in PLACES:
        place = getattr(places, name)
        if place and "://" not in place and path.resolve().is_relative_to(Path(place).resolve()):
            return f"{PREFIX}{name}".upper()
    return None


def load_partition_settings() -> PartitionSettings:
    """Reads only the settings of the definitions. Raises as `load_settings` does."""
    return _load(PartitionSettings)


def _load(kind: type[Kind]) -> Kind:
    unknown = _unknown_settings()
    if unknown:
        raise SettingsError("\n".join(unknown))
    try:
        return kind()
    except ValidationError as error:
        raise SettingsError("\n".join(_explained(problem) for problem in error.errors())) from None


def _unknown_settings() -> list[str]:
    known = {name.upper() for name in Settings.model_fields}
    given = {*os.environ, *dotenv_values(".env")}
    found = []
    for name in sorted(given):
        if name.startswith(PREFIX) and not name.startswith(TEST_PREFIX) and name.removeprefix(PREFIX) not in known:
            close = difflib.get_close_matches(name.removeprefix(PREFIX), known, 1)
            hint = f"Did you mean {PREFIX}{close[0]}?" if close else "See docs/settings.md for all there are."
            found.append(f"{name} is no setting. {hint}")
    return found


# What is expected instead of a value that cannot be parsed, by the prefix of pydantic's error type.
_EXPECTED = {
    "date": "must be a day such as 2026-01-12",
    "int": "must be a whole number, such as 7",
    "float": "must be a number, such as 0.05",
    "bool": "must be true or false",
}


def _explained(problem: Any) -> str:
    if not problem["loc"]:  # about several settings, which it names
        return sentence(str(problem["msg"]).removeprefix("Value error, "))
    if problem["type"] == NO_SOURCE:
        return sentence(str(problem["msg"]))
    name = f"{PREFIX}{problem['loc'][0]}".upper()
    if problem["type"] == "missing":
        description = Settings.model_fields[str(problem["loc"][0])].description
        return sentence(f"{name} is not set. {description}")
    said = str(problem["msg"]).removeprefix("Value error, ").replace("Input should be", "must be")
    return sentence(f"{name}: {_EXPECTED.get(problem['type'].partition('_')[0], said)}")


def _secrets_of(secret: str) -> list[str]:
    """The secret and, for a url, its secret parts, also percent-decoded, the longest first: the password, the values in
    the query, and for http the path and query, which are a webhook's key."""
    parts = {secret}
    with suppress(ValueError):
        url = urlsplit(secret)
        if url.hostname:
            named = {url.password or ""} | {value for _, value in parse_qsl(url.query) if len(value) >= SECRET_LENGTH}
            if url.scheme.lower() in ("http", "https"):
                named |= {part for part in (url.path, f"{url.path}?{url.query}") if len(part) >= SECRET_LENGTH}
            parts |= named | {unquote(part) for part in named}
    return sorted(filter(None, parts), key=len, reverse=True)


def _revealed(secret: SecretStr | None) -> str | None:
    return None if secret is None else secret.get_secret_value()
