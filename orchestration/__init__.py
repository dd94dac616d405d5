"""Dagster: what runs when, on which partition, and what may follow. No parsing and no business rule lives here."""
