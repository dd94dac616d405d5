"""Users, passwords and keys inside addresses of the settings."""

from __future__ import annotations

import traceback

import pytest
from pydantic import SecretStr

from ingest.errors import SettingsError
from orchestration.settings import LakeSettings, Settings, load_lake_settings, load_settings
from tests.environment_fixtures import HASH_KEY, SECRET, Caller

USER = f"user-{SECRET}"
SAID = {
    "s3_endpoint_url": [
        f"https://{USER}:{SECRET}@s3.example.com",
        f"https://{USER}@s3.example.com/",
        f"http://:{SECRET}@127.0.0.1:9",
        f"https://s3.example.com/?X-Amz-Signature={SECRET}",
        f"https://[{SECRET}",
        f"{USER}:{SECRET}@s3.example.com",
    ],
    "lake": [
        f"s3://{USER}:{SECRET}@bucket/lake",
        f"https://{USER}:{SECRET}@host/lake",
        f"file://{USER}:{SECRET}@host/x",
    ],
    "logs": [f"s3://{USER}:{SECRET}@bucket/logs", f"gs://{USER}:{SECRET}@bucket/logs"],
    "events": [f"s3://{USER}@bucket/logs", f"ftp://{USER}:{SECRET}@host/events"],
    "openlineage_url": [
        f"https://{USER}:{SECRET}@lineage.example/api",
        f"https://{USER}@lineage.example/api",
        f"https://lineage.example/api?api_key={SECRET}",
        f"lineage.example?{SECRET}",
    ],
    "alert_webhook_url": [f"ftp://{USER}:{SECRET}@hooks.example", f"https://[{SECRET}"],
    "smtp_url": [f"http://{USER}:{SECRET}@mail.example"],
    "mongodb_url": [f"http://{USER}:{SECRET}@mongo.example"],
    "workers": [SECRET],
    "first_day": [SECRET],
    "log_format": [SECRET],
    "volume_blocks": [SECRET],
    "max_reject_share": [SECRET],
}
CASES = [(name, value) for name, values in SAID.items() for value in values]


@pytest.mark.parametrize(("name", "value"), CASES)
def test_f7_an_address_with_a_password_is_refused_and_not_shown(
    call: Caller, monkeypatch: pytest.MonkeyPatch, tmp_path: object, name: str, value: str
) -> None:
    settings = {"lake": str(tmp_path), "logs": str(tmp_path), "hash_key": HASH_KEY, name: value}
    done = call("run", "--from", "2026-01-12", **settings)
    assert done.returncode == 2
    assert f"CLICKLAKE_{name.upper()}" in done.stderr
    assert "Traceback" not in done.stderr
    for each in (SECRET, USER):
        assert each not in done.stdout + done.stderr
    for each, text in settings.items():
        monkeypatch.setenv(f"CLICKLAKE_{each.upper()}", text)
    with pytest.raises(SettingsError) as refused:
        load_settings()
    assert SECRET not in "".join(traceback.format_exception(refused.value))
    with pytest.raises(ValueError, match="validation error") as raised:  # as a library would show it
        Settings()
    assert SECRET not in str(raised.value)


def test_f7_addresses_without_secrets_are_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    for lake in ("s3://bucket/pre@fix", "/data/a@b/lake", "file:///data/a@b", "lake"):
        monkeypatch.setenv("CLICKLAKE_LAKE", lake)
        for endpoint in ("http://127.0.0.1:9000", "https://s3.example.com/"):
            monkeypatch.setenv("CLICKLAKE_S3_ENDPOINT_URL", endpoint)
            assert isinstance(load_lake_settings(), LakeSettings)


def test_f7_secrets_of_addresses_are_taken_out_of_any_text(monkeypatch: pytest.MonkeyPatch) -> None:
    values = {"lake": "/lake", "logs": "/logs", "hash_key": HASH_KEY}
    settings = Settings(
        **values,  # type: ignore[arg-type]
        mongodb_url=SecretStr("mongodb://user:pass%2Fword-1@host/?authSource=admin"),
        alert_webhook_url=SecretStr("https://hooks.example/services/T000/B000/XYZ?token=abcdefgh12"),
        smtp_url=SecretStr("smtp://mailer:mail-word@mail.example:587"),
    )
    for text in (
        "bad password pass/word-1 for user",
        "mongodb://user:pass%2Fword-1@host/?authSource=admin is wrong",
        "POST /services/T000/B000/XYZ?token=abcdefgh12 failed",
        "token=abcdefgh12",
        "login mail-word",
        HASH_KEY,
    ):
        said = settings.redacted(text)
        assert "[secret]" in said
        for secret in ("pass/word-1", "pass%2Fword-1", "XYZ", "abcdefgh12", "mail-word", SECRET):
            assert secret not in said
    assert settings.redacted("host hooks.example, database admin") == "host hooks.example, database admin"
