"""Measures ingest and the daily aggregates against the best that other tools do. Run by `make bench`."""
