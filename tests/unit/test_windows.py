"""What a window of days came to, as a run tells it."""

from __future__ import annotations

from datetime import date

from orchestration.marts.windows import WindowResult

ONE, TWO, LATER = date(2026, 1, 12), date(2026, 1, 13), date(2026, 1, 20)


def result(**statuses: tuple[date, str]) -> WindowResult:
    entries = {(model, day): {"status": status, "reasons": []} for model, (day, status) in statuses.items()}
    return WindowResult(published=entries)


def test_a_day_is_named_with_the_model_that_was_not_published() -> None:
    assert result(sessions=(ONE, "published"), retention=(TWO, "refused")).refused([ONE, TWO]) == {
        TWO: "retention refused ()"
    }


def test_what_a_refused_day_keeps_from_being_restated_is_not_named() -> None:
    found = result(sessions=(ONE, "refused"), retention=(LATER, "skipped")).refused([ONE])
    assert found == {ONE: "sessions refused ()"}


def test_a_restated_day_that_is_refused_itself_is_named() -> None:
    found = result(sessions=(ONE, "skipped"), retention=(LATER, "refused")).refused([ONE])
    assert set(found) == {ONE, LATER}


def test_restated_days_are_named_where_nothing_else_tells_of_them() -> None:
    assert result(sessions=(ONE, "published"), retention=(LATER, "skipped")).refused([ONE]) == {
        LATER: "retention skipped ()"
    }
