"""The dbt project as Dagster assets: one dbt run builds one window of days."""
