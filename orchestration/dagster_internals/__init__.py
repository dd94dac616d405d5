"""All uses of Dagster's private interface. Each module says what is private, what breaks without it, and the public way
once there is one. A test fails on private imports elsewhere. Read these modules before an upgrade of Dagster.
"""
