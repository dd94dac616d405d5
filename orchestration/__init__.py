"""Dagster: what runs when, on which partition, and what may follow. It holds no parsing and no business rules."""
