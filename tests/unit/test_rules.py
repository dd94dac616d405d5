"""Rules of a user: what is taken, what is refused with which words, and what a fingerprint stands for."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner
from hypothesis import given, settings
from hypothesis import strategies as st

from ingest.errors import SettingsError
from ingest.lake.files import Lake
from ingest.lake.layout import rules_version
from ingest.rules.problems import RulesError
from ingest.rules.rules import Rules, default_rules, keep, load_rules
from ingest.rules.sites import Site
from ingest.rules.tables import TABLES
from ingest.rules.template import template, written
from ingest.rules.values import SECONDS, UNITS
from ingest.rules.variables import BY_NAME, DEFAULTS, VARIABLES, Variable
from orchestration.cli.rules import command

PROJECT = Path(__file__).parents[2] / "dbt_project"
SEEDS = PROJECT / "seeds"
FUNNELS = "funnel,step,step_name,event_type,path_regex,within_seconds\n"
CONVERSIONS = "event_type,conversion_type,revenue,default_value,currency\n"
PUBLICATIONS = "publication_code,publication_id,publication_name\n"

Files = dict[str, str | bytes]


def written_to(folder: Path, files: Files) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for name, body in files.items():
        (folder / name).write_bytes(body.encode() if isinstance(body, str) else body)
    return folder


def loaded(folder: Path, files: Files) -> Rules:
    """The rules of some files in a folder of a setting."""
    return load_rules(Lake(str(written_to(folder, files))), None, SEEDS)


def said(folder: Path, files: Files) -> str:
    with pytest.raises(RulesError) as error:
        loaded(folder, files)
    return str(error.value)


# ---- variables ----


@pytest.mark.parametrize(
    ("given_text", "name", "value"),
    [
        ("session_timeout_seconds: 1800", "session_timeout_seconds", 1800),
        ("session_timeout: 45m", "session_timeout_seconds", 2700),
        ("session_timeout_seconds: '45 m'", "session_timeout_seconds", 2700),
        ("attribution_click: 4w", "attribution_click_seconds", 28 * 86_400),
        ("session_cap: 1d", "session_cap_hours", 24),
        ("visitor_history: 2w", "visitor_history_days", 14),
        ("visitor_history_days: 30", "visitor_history_days", 30),
        ("retention_weeks: 010", "retention_weeks", 10),
        ("funnel_max_days: 7", "funnel_max_days", 7),
        ("session_by: client", "session_by", "client"),
        ("session_split_on_campaign: true", "session_split_on_campaign", True),
        ("identity_user_confidence: 1", "identity_user_confidence", 1.0),
        ("identity_device_confidence: .5", "identity_device_confidence", 0.5),
        ("page_view_event_types: [pageview, 'Screen View', screen_view]", "page_view_event_types",
         ["page_view", "screen_view"]),
        ("attribution_channel_priority: [Email, Paid Search]", "attribution_channel_priority",
         ["Email", "Paid Search"]),
        ("ivt_click_without_impression_channels: []", "ivt_click_without_impression_channels", []),
    ],
)  # fmt: skip
def test_a_variable_has_the_value_of_the_file(tmp_path: Path, given_text: str, name: str, value: Any) -> None:
    rules = loaded(tmp_path, {"rules.yml": f"variables:\n  {given_text}\n"})
    assert rules.values == DEFAULTS | {name: value}
    assert type(rules.values[name]) is type(DEFAULTS[name])
    assert rules.origins == {name: f"{tmp_path}/rules.yml, line 2"}


@pytest.mark.parametrize(
    ("given_text", "says"),
    [
        ("session_by: cleint", "session_by is 'cleint', and must be timeout or client"),
        ("session_timeout: 1800", "session_timeout has no unit. Write session_timeout_seconds: 1800"),
        ("session_timeout: 30:00", "session_timeout has no unit"),
        ("session_timeout_seconds: 30:00", "is '30:00', and must be a whole number"),
        ("session_timeout_seconds: 1_800", "must be a whole number"),
        ("session_timeout_seconds: 1800.5", "must be a whole number"),
        ("session_timeout: 2d", "is 2d, and must be 1 to 86400 (1 day at most): a session covers two days at most"),
        ("session_timeout_seconds: -1", "must be 1 to 86400"),
        ("session_timeout_seconds:", "must be one value: 1 to 86400"),
        ("session_timeout_seconds: [1800]", "must be one value"),
        ("visitor_history_days: 60", "must be 0 to 30: a late day restates the 30 days after it"),
        ("visitor_history: 36h", "must be a whole number of days, such as 30d or 4w"),
        ("retention_days: 31", "must be 0 to 30"),
        ("attribution_click: 30d", "must be 0 to 2505600 (29 days at most): a late day restates"),
        ("attribution_reattribution_seconds: 2592000", "must be 0 to 2505600"),
        ("funnel_max_days: 8", "must be 1 to 7: a run that restates the 30 days after its own reads events of 38 days"),
        ("attribution_max_touches: 1", "must be 2 to 10000"),
        ("identity_device_confidence: 1.5", "must be 0 to 1"),
        ("identity_device_confidence: nan", "must be a number"),
        ("identity_merge_users: yes", "is 'yes', and must be true or false"),
        ("page_view_event_types: page_view", "must be a list of texts, such as [a, b]"),
        ("page_view_event_types: []", "has 0 entries, and must be a list of 1 to 100 texts"),
        ("page_view_event_types: ['--']", "entry 1 is '--', of which no event type is left"),
        ("page_view_event_types: [page_view, '', 3]", "such as [a, b], and entry 2 is empty, or no text"),
        ("attribution_channel_priority: [a, b, [c]]", "and entry 3 is empty, or no text"),
        ("sesion_by: client", "sesion_by is no variable. Did you mean session_by?"),
        ("x: 1", "x is no variable. There are ad_click_session_seconds"),
        ("identity_known_at: run", "identity_known_at is no variable any more"),
        ("session_by: client\n  session_by: timeout", "line 3: session_by is there already, in line 2"),
        ("session_timeout: 30m\n  session_timeout_seconds: 60", "3: session_timeout_seconds and session_timeout ("),
        ("session_timeout_seconds: 60\n  session_timeout: 30m", "line 2) are one variable. Keep one of them"),
        ("session_cap: 1h\n  session_timeout: 2h", "session_cap_hours is 1, and session_timeout_seconds is 7200"),
        ("session_by: client\n  session_client_timeout: 1m", "a client session would end sooner"),
    ],
)  # fmt: skip
def test_a_wrong_variable_is_named_with_its_line_and_what_is_allowed(
    tmp_path: Path, given_text: str, says: str
) -> None:
    text = said(tmp_path, {"rules.yml": f"variables:\n  {given_text}\n"})
    assert says in text
    assert f"{tmp_path}/rules.yml, line " in text


def test_all_mistakes_are_named_at_once(tmp_path: Path) -> None:
    text = said(
        tmp_path,
        {
            "rules.yml": "variables:\n  session_by: x\n  retention_days: 99\n",
            "funnel_steps.csv": FUNNELS + "a,2,b,c,,1\n",
        },
    )
    assert "session_by" in text
    assert "retention_days" in text
    assert "funnel a has the steps 2" in text


def test_every_default_passes(tmp_path: Path) -> None:
    given_text = yaml.safe_dump({"variables": dict(DEFAULTS)})
    assert loaded(tmp_path, {"rules.yml": given_text}).values == DEFAULTS


def test_no_window_is_longer_than_what_restating_reaches() -> None:
    """The models say how far they restate; a longer window would keep days that a late day changes."""
    after = {}
    for path in (PROJECT / "models").rglob("*.sql"):
        if found := re.search(r"restates=\{.*'after': (\d+)\}", path.read_text("utf-8")):
            after[path.stem] = int(found[1])
    assert BY_NAME["visitor_history_days"].most <= after["sessions"]
    assert BY_NAME["retention_days"].most <= after["retention"]
    for name in ("click", "impression", "install", "reattribution"):
        # The day of a touch is that of its session, which may have begun a day earlier.
        assert BY_NAME[f"attribution_{name}_seconds"].most <= (after["attribution"] - 1) * 86_400


def test_models_use_every_variable_and_no_other() -> None:
    texts = [path.read_text("utf-8") for path in PROJECT.rglob("*.sql") if "target" not in path.parts]
    used = {name for text in texts for name in re.findall(r"\brule\([\"'](\w+)[\"']\)", text)}
    used |= {name for text in texts for name in re.findall(r"'before_too': '(\w+)'", text)}
    assert used == set(BY_NAME)
    assert not [text for text in texts if re.search(r"\bvar\((?!name, )", text)]


# ---- tables ----


@pytest.mark.parametrize(
    ("file", "text", "says"),
    [
        ("publications.csv", "", "line 1: there is no header. It is publication_code,publication_id,publication_name"),
        ("publications.csv", "publication_code;publication_id;publication_name\n",
         "separated by `;`. Save the file with"),
        ("publications.csv", "code,publication_id,publication_name\n", "line 1: no such column: 'code'"),
        ("publications.csv", PUBLICATIONS + "a,x,y\n", "line 2, column publication_id: 'x' is no whole number"),
        ("publications.csv", PUBLICATIONS + ",1,y\n", "line 2, column publication_code: it is empty"),
        ("publications.csv", PUBLICATIONS + "a,1,y\nb,,\na,2,z\n",
         "line 4: publication_code a is there already, in line 2"),
        ("publications.csv", PUBLICATIONS.encode("utf-16"), "it is not UTF-8"),
        ("conversion_events.csv", CONVERSIONS + "a,b,earned,1,dollars\n", "'DOLLARS' is no currency, such as USD"),
        ("conversion_events.csv", CONVERSIONS + "a,b,earned,0,EUR\nLead Form,b,earned,-25.50,EUR\n",
         "line 3, column default_value: -25.5 is negative, and lead_form earns. Give 0 or more, or nothing"),
        ("conversion_events.csv", CONVERSIONS + "sign up,a,none,,\nsignUp,b,none,,\n",
         "event_type sign_up is there already, in line 2"),
        ("funnel_steps.csv", FUNNELS + "a,1,b,c,(,60\n", "line 2, column path_regex: '(' is no regular expression"),
        ("funnel_steps.csv", FUNNELS + "a,1,b,c,(?=x),60\n", "'(?=x)' is no regular expression"),
        ("funnel_steps.csv", FUNNELS + "a,1,b,c,^/Cart,60\n", "has a capital letter"),
        ("funnel_steps.csv", FUNNELS + "a,1,b,c,,60\na,3,b,c,,60\n", "funnel a has the steps 1, 3. Number them from 1"),
        ("funnel_steps.csv", FUNNELS + "a,1,b,c,,60\na,2,b,c,,61\n", "funnel a has within_seconds 60 and 61"),
        ("funnel_steps.csv", FUNNELS + "a,1,b,c,,1209600\n",
         "funnel a lasts 14 days (within_seconds 1209600), and may"),
        ("funnel_steps.csv", FUNNELS + "a,1,b,c,,-1\n", "may last 1 day (funnel_max_days)"),
        ("funnel_steps.csv", FUNNELS + "a,1,b,c,,172800\n", "Shorten it, or set funnel_max_days higher"),
        ("channel_rules.csv",
         "priority,channel,source_category,source_regex,medium_regex,campaign_regex\n1,x,mail,,,\n",
         "column source_category: 'mail' is not allowed. There are search, social"),
        ("page_categories.csv", "priority,path_regex,category\n" + "".join(f"{n},x,y\n" for n in range(501)),
         "it has 501 rows, and page_categories may have 500"),
        ("publication.csv", PUBLICATIONS, "there are no rules of this name. Did you mean publications.csv?"),
        ("rules.yaml", "", "there are no rules of this name. Did you mean rules.yml?"),
    ],
)  # fmt: skip
def test_a_wrong_table_is_named_with_its_line(tmp_path: Path, file: str, text: str | bytes, says: str) -> None:
    found = said(tmp_path, {file: text})
    assert says in found
    assert str(tmp_path / file) in found


@pytest.mark.parametrize(
    "text",
    [
        "event_type,conversion_type,revenue,default_value,currency\nSign up,lead,earned,2.50,usd\n",
        "\ufeffcurrency,conversion_type,event_type,default_value,revenue\r\nUSD,lead,sign-up,2.5,earned\r\n\r\n",
        'event_type,conversion_type,revenue,default_value,currency\n" signUp ","lead",earned,"2.5000","USD"\n',
    ],
)
def test_a_table_is_the_same_however_it_is_written(tmp_path: Path, text: str) -> None:
    rules = loaded(tmp_path / "a", {"conversion_events.csv": text})
    plain = loaded(tmp_path / "b", {"conversion_events.csv": CONVERSIONS + "sign_up,lead,earned,2.5,USD\n"})
    assert rules.tables["conversion_events"].values() == plain.tables["conversion_events"].values()
    assert rules.fingerprint == plain.fingerprint != default_rules(SEEDS).fingerprint


def test_a_header_alone_switches_a_table_off(tmp_path: Path) -> None:
    assert loaded(tmp_path, {"funnel_steps.csv": FUNNELS}).tables["funnel_steps"].values() == []


def test_rows_are_added_to_lists_of_well_known_names_and_win(tmp_path: Path) -> None:
    text = "site,source,medium,category\nGoogle.*,google,organic,other\nours.example,ours,partner,social\n"
    table = loaded(tmp_path, {"traffic_sources.csv": text}).tables["traffic_sources"]
    rows = {row["site"]: row for row in table.values()}
    assert len(rows) == len(default_rules(SEEDS).tables["traffic_sources"].values()) + 1
    assert rows["google.*"]["category"] == "other"
    assert table.own_rows == 2


def test_a_broken_file_of_figures_stops_what_is_made_of_it_alone(tmp_path: Path) -> None:
    rules = loaded(tmp_path, {"campaign_spend.csv": "spend_date,spend\n"})
    assert "column order_id is missing" in str(rules.tables["campaign_spend"].error)
    assert rules.fingerprint == default_rules(SEEDS).fingerprint


def test_dbt_knows_the_tables_as_they_are_defined() -> None:
    seeds = yaml.safe_load((SEEDS / "_seeds.yml").read_text("utf-8"))["seeds"]
    described = {seed["name"]: {each["name"]: each["data_type"] for each in seed["columns"]} for seed in seeds}
    assert described == {table.name: table.types for table in TABLES}
    assert {path.stem for path in SEEDS.glob("*.csv")} == set(described)


def test_e5_no_publication_and_no_spend_is_everybodys() -> None:
    rules = default_rules(SEEDS)
    assert rules.tables["publications"].values() == rules.tables["campaign_spend"].values() == []


# ---- files and places ----


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "the file is empty. `clicklake rules --template` writes one to start from"),
        ("variables: [", "it is no YAML"),
        ("variables: [a]\n", "variables must hold names with values"),
        ("- a\n", "the file must hold `variables:` or `sites:`"),
        ("session_by: client\n", "session_by is no section. Put it below `variables:`"),
        ("variabels:\n  session_by: client\n", "variabels is no section. Did you mean variables?"),
        ("a: &a [1]\nb: *a\n", "line 2: it is no YAML (write out what *a stands for)"),
        ("a: 1\n---\nb: 2\n", "it is no YAML"),
        ("variables: {" + "[" * 5_000, "deep"),
        (b"variables:\n  session_by: caf\xe9\n", "line 2: it is not UTF-8"),
        ("#" * (1 << 20) + "#", "the file is larger than 1 MiB"),
    ],
)
def test_a_file_that_is_no_rules_file_says_why(tmp_path: Path, text: str | bytes, says: str) -> None:
    assert says in said(tmp_path, {"rules.yml": text})


def test_a_setting_that_leads_to_no_rules_is_a_mistake(tmp_path: Path) -> None:
    for folder in (tmp_path, tmp_path / "none"):
        with pytest.raises(RulesError, match=r"there is neither rules\.yml nor a table in it"):
            load_rules(Lake(str(folder)), None, SEEDS)


def test_without_a_setting_the_lake_has_the_rules(tmp_path: Path) -> None:
    lake = Lake(str(tmp_path / "lake"))
    assert load_rules(None, lake, SEEDS).fingerprint == default_rules(SEEDS).fingerprint
    lake.put_text("variables:\n  session_by: client\n", "rules/rules.yml")
    lake.put_text("site,kind\npay.example,payment\n", "reference/passages.csv")
    lake.put_text("anything", "reference/notes.csv")  # the folder is older than the rules, and may hold other files
    rules = load_rules(None, lake, SEEDS)
    assert rules.values["session_by"] == "client"
    assert rules.tables["passages"].own_rows == 1
    keep(rules, lake)
    assert lake.read_text(rules_version(rules.fingerprint)) == rules.text
    assert load_rules(None, lake, SEEDS).fingerprint == rules.fingerprint  # what is kept is no rule

    folder = written_to(tmp_path / "folder", {"rules.yml": "variables: {}\n"})
    own = load_rules(Lake(str(folder)), lake, SEEDS)
    assert own.values["session_by"] == "timeout"
    assert own.tables["passages"].own_rows == 1


@pytest.mark.parametrize("is_setting", [True, False])
@pytest.mark.parametrize("name", ["rules.yml", "conversion_events.csv"])
@pytest.mark.parametrize("is_link", [True, False])
def test_a_name_that_leads_to_no_file_is_no_default(tmp_path: Path, is_setting: bool, name: str, is_link: bool) -> None:
    lake = Lake(str(tmp_path))
    lake.put_text(PUBLICATIONS, "rules/publications.csv")
    place = tmp_path / "rules" / name
    place.symlink_to("/none/such") if is_link else place.mkdir()
    with pytest.raises(RulesError, match=rf"rules/{name}: this leads to no file"):
        load_rules(Lake(str(tmp_path / "rules")) if is_setting else None, lake, SEEDS)


@pytest.mark.parametrize("name", ["rules", "reference"])
def test_a_link_in_place_of_the_folder_of_rules_is_followed_or_named(tmp_path: Path, name: str) -> None:
    lake = Lake(str(tmp_path / "lake"))
    lake.put_text("", "raw/any")
    link = tmp_path / "lake" / name
    link.symlink_to(tmp_path / "mounted")
    with pytest.raises(RulesError, match=rf"lake/{name}: this leads to no folder"):
        load_rules(None, lake, SEEDS)
    written_to(tmp_path / "mounted", {"publications.csv": PUBLICATIONS + "a,1,A\n"})
    assert load_rules(None, lake, SEEDS).tables["publications"].own_rows == 1


def test_a_draft_is_checked_without_a_lake_and_its_place_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("CLICKLAKE_LAKE", "CLICKLAKE_RULES"):
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(SettingsError, match="CLICKLAKE_LAKE is not set"):
        CliRunner().invoke(command, ["--check"], catch_exceptions=False)
    draft = written_to(tmp_path / "draft", {"rules.yml": "variables:\n  session_by: client\n"}) / "rules.yml"
    monkeypatch.setenv("CLICKLAKE_RULES", str(draft.parent))
    for lake in (None, ""):  # compose gives a variable that is not set as ""
        if lake is not None:
            monkeypatch.setenv("CLICKLAKE_LAKE", lake)
        checked = CliRunner().invoke(command, ["--check"], catch_exceptions=False)
        assert (checked.exit_code, checked.output.startswith(f"Read: {draft}\nThe rules are right.")) == (0, True)

    monkeypatch.delenv("CLICKLAKE_RULES")
    monkeypatch.setenv("CLICKLAKE_LAKE", str(tmp_path / "lake"))
    written_to(tmp_path, {"rules.yml": "nonsense"})  # the working directory is no place of rules
    for options in (["--check"], []):
        told = CliRunner().invoke(command, options, catch_exceptions=False)
        assert f"There are no rules of your own in {tmp_path}/lake/rules, so that the defaults hold" in told.output


def test_a_table_in_two_places_is_a_mistake(tmp_path: Path) -> None:
    lake = Lake(str(tmp_path))
    for key in ("rules/passages.csv", "reference/passages.csv"):
        lake.put_text("site,kind\n", key)
    with pytest.raises(RulesError, match=r"reference/passages\.csv: the same table is in .*/rules/passages\.csv too"):
        load_rules(None, lake, SEEDS)


def test_a_default_value_may_be_zero_without_a_currency_or_negative_where_money_is_paid_back(tmp_path: Path) -> None:
    text = CONVERSIONS + "free,a,earned,0,\nlead,b,earned,5,\nback,c,refunded,-5,EUR\nform,d,none,-1,\n"
    rules = loaded(tmp_path, {"conversion_events.csv": text})
    assert [row["default_value"] for row in rules.tables["conversion_events"].values()] == [0, 5, -5, -1]


# ---- fingerprints ----


@pytest.mark.parametrize(
    "files",
    [
        {"rules.yml": "# nothing\n"},
        {"rules.yml": template()},
        {"rules.yml": "variables:\n  session_timeout: 30m\n  identity_user_confidence: 1\n"},
        {"rules.yml": b"\xef\xbb\xbfvariables:\r\n  session_by: 'timeout'\r\n"},
        {"rules.yml": "sites:\n  shop.example.com:\n"},
        {"conversion_events.csv": CONVERSIONS
         + "sign_up,sign_up,none,,\npurchase,purchase,earned,,\nrefund,purchase,refunded,,\n"
         "install,install,none,,\nform submit,lead,none,,\n"},
        {"passages.csv": "site,kind\n"},
    ],
)  # fmt: skip
def test_rules_that_say_what_the_defaults_say_make_no_difference(tmp_path: Path, files: Files) -> None:
    assert loaded(tmp_path, files).fingerprint == default_rules(SEEDS).fingerprint


def test_every_other_value_has_another_fingerprint(tmp_path: Path) -> None:
    found = {default_rules(SEEDS).fingerprint}
    for number, variable in enumerate(VARIABLES):
        files: Files = {"rules.yml": f"variables:\n  {variable.name}: {another(variable)}\n"}
        found.add(loaded(tmp_path / str(number), files).fingerprint)
    assert len(found) == len(VARIABLES) + 1


def another(variable: Variable) -> str:
    if variable.choices:
        return next(each for each in variable.choices if each != variable.default)
    if isinstance(variable.default, bool):
        return written(not variable.default)
    if isinstance(variable.default, list):
        return "[else]"
    return str(int(variable.most) if variable.default != variable.most else int(variable.least))


def test_the_template_names_every_variable_and_can_be_used_as_it_is(tmp_path: Path) -> None:
    text = template()
    for name, value in DEFAULTS.items():
        assert f"\n  # {name}: {written(value)}\n" in text
    uncommented = re.sub(rf"^  # (({'|'.join(DEFAULTS)}): )", r"  \1", text, flags=re.MULTILINE)
    assert set(loaded(tmp_path, {"rules.yml": uncommented}).origins) == set(DEFAULTS)


# ---- sites ----

SITES = """sites:
  shop.example.com:
    hosts: [Shop.example.com, www.shop.example.com., müller.example]
    tenant: acme
    time_zone: America/Chicago
    keys: [SHOP_WRITE_KEY, 'sha256:%s']
    consent: not_required
  news.example.com:
""" % ("a" * 64)  # fmt: skip


def test_a_site_is_found_by_its_hosts(tmp_path: Path) -> None:
    sites = loaded(tmp_path, {"rules.yml": SITES}).sites
    shop = sites.by_name["shop.example.com"]
    assert shop.hosts == ("shop.example.com", "www.shop.example.com", "xn--mller-kva.example")
    assert (shop.tenant, shop.time_zone, shop.consent, len(shop.keys)) == (
        "acme", "America/Chicago", "not_required", 2,
    )  # fmt: skip
    for host in ("WWW.shop.example.com", "shop.example.com:8443", "shop.example.com.", "müller.example"):
        assert sites.site_of(host) is shop
    assert sites.site_of("news.example.com") == Site("news.example.com", ("news.example.com",))
    for host in ("other.example.com", "", "example.com", "..", "a" * 300):
        assert sites.site_of(host) is None


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("a_b:\n", "site 'a_b' is no host name"),
        ("a.example: [x]\n", "site a.example must hold names with values: hosts, tenant"),
        ("a.example: {host: x}\n", "host is no field. Did you mean hosts?"),
        ("a.example: {hosts: [x y]}\n", "'x y' is no host name"),
        ("a.example: {hosts: [{a: b}]}\n", "must be a list of texts"),
        ("a.example:\n  b.example: {hosts: a.example}\n", "host a.example is of another site too"),
        ("a.example: {tenant: A B}\n", "tenant 'A B' must be lower-case letters"),
        ("a.example: {time_zone: Berlin}\n", "'Berlin' is no time zone, such as Europe/Berlin"),
        ("a.example: {time_zone: ../../etc/passwd}\n", "is no time zone"),
        ("a.example: {consent: maybe}\n", "consent is 'maybe'. Set it to required or not_required"),
        ("a.example: {keys: [s3cr3t-value]}\n", "a key must be the name of a setting"),
    ],
)
def test_a_wrong_site_says_what_is_allowed(tmp_path: Path, text: str, says: str) -> None:
    found = said(tmp_path, {"rules.yml": f"sites:\n  {text}"})
    assert says in found
    assert "s3cr3t" not in found


# ---- random files ----


@st.composite
def variables(draw: st.DrawFn) -> tuple[Variable, str, bool]:
    """(variable, text of a value, whether it is right)"""
    variable = draw(st.sampled_from(VARIABLES))
    is_right = draw(st.booleans())
    if isinstance(variable.default, bool):
        return (
            variable,
            draw(st.sampled_from(["true", "false"] if is_right else ["yes", "1", "True", "null"])),
            is_right,
        )
    if isinstance(variable.default, list):
        return (
            variable,
            draw(st.sampled_from(["[a]", "[a, B c]"] if is_right else ["a", "{a: b}", "[[a]]", "1"])),
            is_right,
        )
    if variable.choices:
        right = st.sampled_from(variable.choices)
        wrong = st.text("abcdefgz", min_size=1).filter(lambda text: text not in variable.choices)
        return variable, draw(right if is_right else wrong), is_right
    least, most = int(variable.least), int(variable.most)
    wrong_numbers = st.integers(max_value=least - 1) | st.integers(min_value=most + 1)
    number = draw(st.integers(least, most) if is_right else wrong_numbers)
    if variable.unit and draw(st.booleans()) and number >= 0:
        fitting = [each for each, size in SECONDS.items() if number * UNITS[variable.unit] % size == 0]
        unit = draw(st.sampled_from(fitting))
        return variable, f"{number * UNITS[variable.unit] // SECONDS[unit]}{unit}", is_right
    return variable, str(number), is_right


@settings(max_examples=150, deadline=None)
@given(variables())
def test_any_right_value_is_taken_and_any_wrong_one_is_named(
    tmp_path_factory: pytest.TempPathFactory, drawn: tuple[Variable, str, bool]
) -> None:
    variable, text, is_right = drawn
    folder = tmp_path_factory.mktemp("rules")
    files: Files = {"rules.yml": f"variables:\n  {variable.name}: {text}\n"}
    if is_right:
        try:
            rules = loaded(folder, files)
        except RulesError as error:  # alone it is right; it may not go with the default of another
            assert ", and session_" in str(error)  # noqa: PT017
            return
        assert type(rules.values[variable.name]) is type(variable.default)
        assert rules.fingerprint == loaded(folder, files).fingerprint
    else:
        assert f"rules.yml, line 2: {variable.name} " in said(folder, files)


@settings(max_examples=150, deadline=None)
@given(
    st.sampled_from(["rules.yml", *(table.file for table in TABLES)]),
    st.binary(max_size=200) | st.text(max_size=200).map(str.encode),
    st.booleans(),
)
def test_any_bytes_are_rules_or_a_sentence(
    tmp_path_factory: pytest.TempPathFactory, name: str, body: bytes, has_head: bool
) -> None:
    heads = {table.file: ",".join(table.columns) + "\n" for table in TABLES} | {
        "rules.yml": "variables:\n  session_by: "
    }
    folder = tmp_path_factory.mktemp("rules")
    try:
        rules = loaded(folder, {name: heads[name].encode() + body if has_head else body})
    except RulesError as error:
        assert str(error).startswith("The rules cannot be used. ")  # noqa: PT017
    else:
        assert set(rules.values) == set(DEFAULTS)
