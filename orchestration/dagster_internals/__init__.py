"""All uses of Dagster's private interface, each with what breaks without it, and the public way once there is one. A
test finds private imports elsewhere. Read these modules before an upgrade of Dagster.
"""
