"""Values of settings that are refused before anything runs. What each says is in tests/e2e/test_cli_errors.py too."""

from __future__ import annotations

from pathlib import Path

import click
import duckdb
import pytest
from click.testing import CliRunner

from ingest.errors import SettingsError
from orchestration.cli import query, views
from orchestration.settings import Settings, load_settings
from tests.environment_fixtures import HASH_KEY

FLOATS = [name for name, each in Settings.model_fields.items() if each.annotation is float]


@pytest.fixture(autouse=True)
def needed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("LAKE", "LOGS"):
        monkeypatch.setenv(f"CLICKLAKE_{name}", str(tmp_path))
    monkeypatch.setenv("CLICKLAKE_HASH_KEY", HASH_KEY)


@pytest.mark.parametrize("value", ["inf", "-inf", "Infinity", "nan", "NaN", "1e400"])
@pytest.mark.parametrize("name", FLOATS)
def test_no_number_is_infinite(name: str, value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(f"CLICKLAKE_{name.upper()}", value)
    with pytest.raises(SettingsError, match=f"^CLICKLAKE_{name.upper()}: "):
        load_settings()


@pytest.mark.parametrize("name", ["max_age_days", "sensor_lookback_days", "settle_minutes", "alert_late_hours"])
def test_no_time_is_longer_than_a_calendar(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(f"CLICKLAKE_{name.upper()}", "1000000000")
    with pytest.raises(SettingsError, match=f"^CLICKLAKE_{name.upper()}: must be less than or equal to"):
        load_settings()


@pytest.mark.parametrize("key", [" " * 20, "\t" * 16, f"  {'a' * 15}  ", "\u00a0" * 16])
def test_blanks_are_no_hash_key(key: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CLICKLAKE_HASH_KEY", key)
    with pytest.raises(SettingsError, match=r"^CLICKLAKE_HASH_KEY: is shorter than 16 bytes"):
        load_settings()


@pytest.mark.parametrize("size", ["lots", "4", "-1", "0GB", "0%", "120%", "inf", "1_0GB", "4PB", "1e3MB", "4 GB x"])
def test_what_is_no_size_of_memory_is_refused(size: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CLICKLAKE_DUCKDB_MEMORY_LIMIT", size)
    with pytest.raises(SettingsError, match=r"^CLICKLAKE_DUCKDB_MEMORY_LIMIT: must be a size such as 4GB"):
        load_settings()


@pytest.mark.parametrize("size", ["4GB", "512MiB", "4 gb", "1.5GiB", "4G", "70%", " 2TB ", "999999TB", "12.5%"])
def test_a_size_of_memory_is_one_that_duckdb_takes(size: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CLICKLAKE_DUCKDB_MEMORY_LIMIT", size)
    assert load_settings().duckdb_memory_limit == size
    duckdb.connect(config={"memory_limit": size}).close()


@pytest.mark.parametrize("name", ["lake", "logs", "events"])
@pytest.mark.parametrize("command", [(query.command, "select 1", "--output"), (views.command,)], ids=["query", "views"])
def test_a_command_writes_no_file_of_its_user_among_the_lakes_or_the_sources(
    name: str, command: tuple[click.Command, *tuple[str, ...]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for each in ("lake", "logs", "events"):
        (tmp_path / each).mkdir()
        monkeypatch.setenv(f"CLICKLAKE_{each.upper()}", str(tmp_path / each))
    kept = tmp_path / name / "E1.2026-01-12-05.a.gz"
    kept.write_text("a log")
    (tmp_path / "link").symlink_to(tmp_path / name)
    asked, *arguments = command
    for path in (kept, tmp_path / name / "new", tmp_path / "link" / kept.name, Path(name) / ".." / name / "x"):
        result = CliRunner().invoke(asked, [*arguments, str(path)])
        assert (result.exit_code, f"lies within CLICKLAKE_{name.upper()}" in result.output) == (2, True)
    assert kept.read_text() == "a log"
    assert [path.name for path in (tmp_path / name).iterdir()] == [kept.name]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("s3_endpoint_url", "http://localhost:9000"),
        ("openlineage_url", "https://h/api"),
        ("alert_webhook_url", "HTTPS://u:p@h/?key=k"),
        ("smtp_url", "smtps://u:p@h:465"),
    ],
)
def test_a_url_of_the_right_scheme_is_taken_as_it_is(name: str, value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(f"CLICKLAKE_{name.upper()}", value)
    found = getattr(load_settings(), name)
    assert getattr(found, "get_secret_value", lambda: found)() == value


@pytest.mark.parametrize(
    ("name", "value", "says"),
    [
        ("first_day", "12.1.2026", "must be a day such as 2026-01-12."),
        ("first_day", "2026-1-1", "must be a day such as 2026-01-12."),
        ("workers", "many", "must be a whole number, such as 7."),
        ("hash_keys_before", "a key", 'must be a JSON list of texts, such as ["the first key", "the second key"].'),
        ("hash_keys_before", "[1]", 'must be a JSON list of texts, such as ["the first key", "the second key"].'),
        (
            "hash_keys_before",
            '["short"]',
            "is shorter than 16 bytes, and could be guessed. Make one: openssl rand -base64 48.",
        ),
        ("workers", "0", "must be greater than or equal to 1."),
        ("max_reject_share", "5%", "must be a number, such as 0.05."),
        ("volume_blocks", "maybe", "must be true or false."),
        ("log_format", "xml", "must be 'text' or 'json'."),
        ("logs", "s3://", "names no bucket: must be s3://bucket/prefix."),
        (
            "events",
            "s3://bucket/events/domain=a.example/year=2026",
            "lies within domain=a.example, a site's own folder. Name the folder that holds domain=a.example.",
        ),
        ("lake", "s3:///prefix", "names no bucket: must be s3://bucket/prefix."),
        ("s3_endpoint_url", "https://", "must be a URL, such as https://s3.example.com."),
        ("openlineage_url", "ftp://h", "must be a url, such as https://marquez.example.com/api/v1/lineage."),
        (
            "openlineage_url",
            "https://h/?key=k",
            "must hold neither a user nor a key; set CLICKLAKE_OPENLINEAGE_API_KEY.",
        ),
        ("smtp_url", "smtp://", "must be smtp://user:password@host:port or smtps://user:password@host:port."),
    ],
)
def test_a_wrong_value_is_told_what_a_right_one_looks_like(
    name: str, value: str, says: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(f"CLICKLAKE_{name.upper()}", value)
    with pytest.raises(SettingsError) as caught:
        load_settings()
    assert f"CLICKLAKE_{name.upper()}: {says}" in str(caught.value).splitlines()
