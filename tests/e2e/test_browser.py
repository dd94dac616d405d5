"""The UI as a person sees it, in a browser: lineage, a refused day, its check's figures, a backfill.

Needs Chromium with its driver. `CLICKLAKE_TEST_SCREENSHOTS=docs/images` also takes the pictures of the docs.
"""

from __future__ import annotations

import datetime as dt
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.environment_fixtures import ROOT, bad, good, new_environment
from tests.ui_fixtures import BACKFILL, LAUNCH, UI, dagster_dev
from tests.waiting import wait_until

pytestmark = pytest.mark.slow

# Of late: the UI lists days from the last one on, and draws those alone that are in sight.
DAYS = [(dt.datetime.now(dt.UTC).date() - dt.timedelta(days=days)).isoformat() for days in (5, 4, 3, 2)]
BAD = DAYS[2]
ASSETS = "{ assetNodes { assetKey { path } isExecutable } }"
SCREENSHOTS = os.environ.get("CLICKLAKE_TEST_SCREENSHOTS")
# The last element whose whole text this is: tabs of a part of a page come behind those of the page.
CLICK = """
const found = [...document.querySelectorAll("a, div, span, button")].filter(e => e.innerText === arguments[0]);
if (found.length) found[found.length - 1].click();
return found.length > 0;
"""


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """Headless Chromium, which asks nobody but the UI."""
    if shutil.which("chromium") is None or shutil.which("chromedriver") is None:
        pytest.skip("there is no Chromium with its driver")
    selenium = pytest.importorskip("selenium.webdriver", reason="selenium is not installed")
    options = selenium.ChromeOptions()
    options.binary_location = shutil.which("chromium")
    for switch in (
        "headless", "no-sandbox", "disable-gpu", "disable-quic", "no-first-run", "disable-background-networking",
        "disable-component-update", "disable-sync", "window-size=1440,900", "no-proxy-server",
    ):  # fmt: skip
        options.add_argument(f"--{switch}")
    driver = selenium.Chrome(options=options, service=selenium.ChromeService(shutil.which("chromedriver")))
    yield driver
    driver.quit()


@pytest.fixture(scope="module")
def ui(
    browser: Any,
    tmp_path_factory: pytest.TempPathFactory,
    s3_client: Any,
    s3_service: Any,
    embedded_mongodb_url: str,
    manifest: None,
) -> Iterator[tuple[UI, str]]:
    """A running UI after a backfill of four days, one of them refused; and the backfill's id."""
    folder = tmp_path_factory.mktemp("browser")
    with new_environment(folder, s3_client, s3_service, embedded_mongodb_url) as environment:
        environment.put(*(bad(day) if day == BAD else good(day) for day in DAYS))
        with dagster_dev(environment, first_day=DAYS[0]) as running:
            nodes = [node for node in running.ask(ASSETS)["assetNodes"] if node["isExecutable"]]
            selection = [{"path": node["assetKey"]["path"]} for node in nodes]
            parameters = {"assetSelection": selection, "partitionNames": DAYS, "title": "four days, one of them bad"}
            identity = running.ask(LAUNCH, parameters=parameters)["launchPartitionBackfill"]["backfillId"]

            def state() -> str:
                return str(running.ask(BACKFILL, id=identity)["partitionBackfillOrError"]["status"])

            assert wait_until(lambda: state() not in ("REQUESTED", "FAILING")), running.lines()[-20:]
            yield running, identity


def _page(browser: Any, ui: UI, path: str, *texts: str, clicks: tuple[str, ...] = (), picture: str) -> str:
    """Opens a page, clicks at these texts, one after the other, waits until it shows all of the others, and takes its
    picture, if one is wanted."""
    browser.get(f"http://127.0.0.1:{ui.port}{path}")

    def shown() -> str:
        return str(browser.execute_script("return document.body.innerText"))

    for text in clicks:
        assert wait_until(lambda text=text: bool(browser.execute_script(CLICK, text))), (text, shown())  # type: ignore[misc]
    assert wait_until(lambda: all(text in shown() for text in texts)), shown()
    if SCREENSHOTS:
        browser.execute_script("return new Promise(done => setTimeout(done, 1500))")  # what is drawn comes to rest
        browser.save_screenshot(str(Path(ROOT / SCREENSHOTS) / f"{picture}.png"))
    return shown()


def test_lineage_shows_the_way_from_raw_to_mongodb(browser: Any, ui: tuple[UI, str]) -> None:
    path = "/assets/performance_entries?view=lineage&lineageScope=upstream&lineageDepth=5"
    _page(browser, ui[0], path, "raw_access_logs", "daily_aggregates", picture="lineage")


def test_partitions_show_the_refused_day(browser: Any, ui: tuple[UI, str]) -> None:
    path = f"/assets/raw_access_logs?view=partitions&partition={BAD}"
    page = _page(browser, ui[0], path, BAD, "Failed", picture="partitions")
    assert all(day in page for day in DAYS)


def test_the_check_of_the_refused_day_shows_its_figures(browser: Any, ui: tuple[UI, str]) -> None:
    path = "/assets/raw_access_logs?view=checks&checkDetail=reject_share"
    texts = ("rows rejected (8", "limit 5.0%", "rows_rejected", "0.05")
    _page(browser, ui[0], path, *texts, clicks=("reject_share", "Partitions", BAD), picture="checks")


def test_the_backfill_shows_what_failed(browser: Any, ui: tuple[UI, str]) -> None:
    texts = (ui[1], f"{DAYS[0]}...{DAYS[-1]}", "Failed", "raw_access_logs", "100% completed")
    _page(browser, ui[0], f"/runs/b/{ui[1]}", *texts, picture="backfill")
