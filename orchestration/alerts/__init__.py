"""Alerts: problems that a person should hear of without looking. Rules find them; an outbox sends each of them once.

Alerts neither change the lake's data nor start a run.
"""
