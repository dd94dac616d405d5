"""Every mart with a site has the tenant of that site."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from ingest.lake.files import Lake
from tests.integration.dbt_fixtures import build, event, request, write_events, write_raw

DAY, NEXT = "2026-01-12", "2026-01-13"
# Two tenants, and a site that belongs to none and sorts before the others: its null must not become another's tenant.
TENANTS = {"a.example": None, "shop.example": "acme", "z.example": "other"}


MIXED = "moved.example"  # has a late event of another tenant


@pytest.fixture(scope="module")
def lake(tmp_path_factory: pytest.TempPathFactory) -> Lake:
    folder = tmp_path_factory.mktemp("tenants")
    lake = Lake(str(folder / "lake"))
    kinds = ("page_view", "app_open", "purchase")  # every event names an order, which counts for the last
    rows = [
        event(kind, f"{DAY}T10:0{number}:00", 10 * number + place, site_id=site, tenant_id=tenant, transaction_id="T")
        | {"event_id": f"{site}-{kind}", "visitor_id": f"v-{site}", "user_id": "one person on all sites"}
        | {"path": "/products/1", "host": site, "utm_source": "news", "user_agent": "Browser"}
        for place, (site, tenant) in enumerate(TENANTS.items())
        for number, kind in enumerate(kinds)
    ]
    rows += [
        event("page_view", f"{DAY}T11:0{number}:00", 90 + number, site_id=MIXED, tenant_id=tenant, visitor_id=tenant)
        for number, tenant in enumerate(("acme", "other"))
    ]
    write_events(lake, DAY, DAY, rows)
    click = request("click", f"{DAY}T09:59:30", 1, landing_url="https://shop.example/products/1", user_agent="Browser")
    write_raw(lake, DAY, DAY, [click | {"ip_hash": "address"}])
    done = build(lake, folder, DAY, NEXT)
    assert done.returncode == 0, done.stdout
    return lake


def marts_with_a_site(lake: Lake) -> dict[str, pa.Table]:
    folders = sorted(each for each in Path(lake.path("marts")).iterdir() if each.is_dir())
    tables = {each.name: pq.read_table(each) for each in folders}
    return {name: table for name, table in tables.items() if "site_id" in table.column_names}


def test_each_site_has_its_tenant_in_every_mart(lake: Lake) -> None:
    marts = marts_with_a_site(lake)
    assert {"sessions", "attribution", "site_daily", "site_daily_by", "funnels", "fact_events"} <= marts.keys()
    for name, table in marts.items():
        found = {(row["site_id"], row["tenant_id"]) for row in table.select(["site_id", "tenant_id"]).to_pylist()}
        found = {each for each in found if each[0] != MIXED}
        assert found, name
        assert {(site, TENANTS.get(site)) for site, _ in found} == found, name


def test_rows_of_two_tenants_keep_their_own_and_their_sum_has_none(lake: Lake) -> None:
    marts = marts_with_a_site(lake)
    found = {
        name: {row["tenant_id"] for row in marts[name].to_pylist() if row["site_id"] == MIXED}
        for name in ("fact_events", "sessions", "fact_sessions", "site_daily")
    }
    own = {"acme", "other"}
    assert found == {"fact_events": own, "sessions": own, "fact_sessions": own, "site_daily": {None}}


def test_all_sites_are_in_the_marts_of_sessions(lake: Lake) -> None:
    marts = marts_with_a_site(lake)
    for name in ("sessions", "fact_sessions", "fact_conversions", "attribution", "site_daily", "funnels"):
        assert set(marts[name].column("site_id").to_pylist()) - {MIXED} == set(TENANTS), name
