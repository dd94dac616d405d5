"""Pure functions that decide what a run of dbt builds, restates, leaves out and publishes.

`graph` holds the nodes and their parents. `window` counts days. `plan` decides which days are built from which files.
`verdicts` decides which built days are published. Nothing here knows dbt, an engine or a lake: macros pass JSON, and
the caller passes a function that lists files. `lake_plugin.py` connects these modules with dbt and the lake.
"""
