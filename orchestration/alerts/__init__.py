"""Alerts: what a person should hear of without looking. Rules find them; an outbox sends each of them once.

Nothing here changes the lake's data or starts a run.
"""
