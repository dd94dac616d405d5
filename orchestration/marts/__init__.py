"""The dbt project as Dagster assets: one window of days, one dbt run."""
