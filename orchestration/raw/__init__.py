"""The raw layer: source days become checked Parquet."""
