"""All that is not Dagster's public interface, each with its reason, what breaks without it, and the public way once
there is one. A test counts private imports elsewhere: none. Whoever takes a new version of Dagster reads this first.
"""
