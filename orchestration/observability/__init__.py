"""What machines watch: metrics for Prometheus, logs as JSON, lineage events. What people are told is in `alerts/`."""
