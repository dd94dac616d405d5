"""CSV files that people keep in the lake: what is read, and what is said of what cannot be."""

from __future__ import annotations

import datetime as dt
from decimal import Decimal

import pyarrow as pa
import pytest

from ingest.rules.csv_files import ReferenceFileError, as_table
from ingest.rules.csv_files import read_csv as read_rows

TYPES = {"spend_date": "date", "order_id": "varchar", "spend": "decimal(18,4)"}
NAME = "reference/campaign_spend.csv"


def read_csv(body: bytes, name: str, types: dict[str, str]) -> pa.Table:
    return as_table(read_rows(body, name, types).columns, types)


@pytest.mark.parametrize(
    "text",
    [
        "spend_date,order_id,spend\n2026-01-12,007,10.5\n2026-01-13,,-3\n",
        "\ufeffspend_date,order_id,spend\r\n2026-01-12,007,10.5000\r\n2026-01-13,,-3.\r\n",  # of a spreadsheet
        'spend, spend_date ,order_id\n\n+10.5,2026-01-12,"007"\n , ,\n"-3", 2026-01-13 ," "',  # by name; blank lines
    ],
)
def test_a_file_is_read_by_the_names_of_its_columns(text: str) -> None:
    table = read_csv(text.encode(), NAME, TYPES)

    assert table.schema == pa.schema(
        [("spend_date", pa.date32()), ("order_id", pa.string()), ("spend", pa.decimal128(18, 4))]
    )
    assert table.to_pylist() == [
        {"spend_date": dt.date(2026, 1, 12), "order_id": "007", "spend": Decimal("10.5")},
        {"spend_date": dt.date(2026, 1, 13), "order_id": None, "spend": Decimal("-3")},
    ]


@pytest.mark.parametrize("number", [f"00012.50{'0' * 60}", f"{'0' * 60}12.5", "+12.50000"])
def test_zeros_on_either_side_of_a_number_make_no_difference(number: str) -> None:
    text = f"spend_date,order_id,spend\n2026-01-12,1,{number}\n2026-01-12,1,{'0' * 60}\n"
    assert read_csv(text.encode(), NAME, TYPES)["spend"].to_pylist() == [Decimal("12.5"), Decimal(0)]


def test_a_file_without_rows_has_none() -> None:
    assert read_csv(b"spend_date,order_id,spend", NAME, TYPES).num_rows == 0


def test_texts_may_hold_commas_quotes_lines_and_any_letter() -> None:
    text = 'spend_date,order_id,spend\n2026-01-12,"a,""b""\nc",1\n2026-01-12,Café,x\n'

    with pytest.raises(ReferenceFileError, match="line 4, column spend: 'x' is no number"):
        read_csv(text.encode(), NAME, TYPES)
    table = read_csv(text.replace("x", "2").encode(), NAME, TYPES)

    assert table["order_id"].to_pylist() == ['a,"b"\nc', "Café"]


@pytest.mark.parametrize(
    ("row", "says"),
    [
        ("2026-01-12,1,ten", "line 3, column spend: 'ten' is no number"),
        ("2026-01-12,1,", "line 3, column spend: '' is no number"),
        ('2026-01-12,1,"1,000.50"', "line 3, column spend: '1,000.50' is no number"),
        ("2026-01-12,1,1e3", "line 3, column spend: '1e3' is no number"),
        ("2026-01-12,1,nan", "line 3, column spend: 'nan' is no number"),
        ("2026-01-12,1,٣", "line 3, column spend: '٣' is no number"),
        ("2026-01-12,1,0.00001", "line 3, column spend: '0.00001' has more than 4 decimals"),
        (f"2026-01-12,1,1.{'0' * 40}1", f"line 3, column spend: '1.{'0' * 40}1' has more than 4 decimals"),
        ("2026-01-12,1,100000000000000", "line 3, column spend: '100000000000000' is too large"),
        ("12.01.2026,1,1", "line 3, column spend_date: '12.01.2026' is no date"),
        ("2026-02-30,1,1", "line 3, column spend_date: '2026-02-30' is no date"),
        ("2026-W03-1,1,1", "line 3, column spend_date: '2026-W03-1' is no date"),
        (",1,1", "line 3, column spend_date: '' is no date"),
        ("2026-01-12,1", "line 3: 2 fields, and the header has 3"),
        ("2026-01-12,1,1,", "line 3: 4 fields, and the header has 3"),
        ('2026-01-12,"1,1', "line 3: unexpected end of data"),
    ],
)
def test_what_cannot_be_read_is_named_by_line_and_column(row: str, says: str) -> None:
    text = f"spend_date,order_id,spend\n2026-01-11,1,99999999999999.9999\n{row}\n"

    with pytest.raises(ReferenceFileError) as caught:
        read_csv(text.encode(), NAME, TYPES)

    assert str(caught.value).startswith(f"{NAME}, {says}")


@pytest.mark.parametrize(
    ("body", "says"),
    [
        (b"", "line 1: there is no header. It is spend_date,order_id,spend"),
        (
            b"spend_date,order_id,spends\n",
            "line 1: no such column: 'spends'. The columns are spend_date,order_id,spend",
        ),
        (b"spend_date;order_id;spend\n", "line 1: the columns are separated by `;`. Save the file with commas"),
        (b"spend_date\torder_id\tspend\n", "line 1: the columns are separated by tabs"),
        (b"spend_date,spend\n", "line 1: column order_id is missing"),
        (b"spend_date,spend,order_id,spend\n", "line 1: column spend is there twice"),
        (b"spend_date,order_id,spend\n2026-01-12,Caf\xe9,1\n", "line 2: it is not UTF-8"),
    ],
)
def test_a_wrong_header_or_encoding_says_what_is_right(body: bytes, says: str) -> None:
    with pytest.raises(ReferenceFileError) as caught:
        read_csv(body, NAME, TYPES)

    assert str(caught.value).startswith(f"{NAME}, {says}")
