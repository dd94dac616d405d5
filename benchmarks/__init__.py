"""Benchmarks of ingest and marts against reference programs in other tools. `make bench` runs them."""
