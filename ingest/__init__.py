"""Bytes in S3 become typed, checked Parquet. A plain library: it knows no Dagster, no dbt, no MongoDB."""
