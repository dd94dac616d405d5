"""Monitoring by machines: Prometheus metrics and OpenLineage events. Alerts for people are in `alerts/`."""
