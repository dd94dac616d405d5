"""What a run of dbt builds, restates, leaves out and publishes: decided here, in pure functions over days and names.

`graph` knows what is made from what, `window` counts days, `plan` says what is built from which files, `verdicts` what
of it is published. Nothing here knows dbt, an engine or a lake: macros hand in what they know as JSON, and a function
that lists files. `lake_plugin.py` is the bridge.
"""
