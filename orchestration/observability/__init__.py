"""What machines watch: metrics for Prometheus, lineage events. What people are told is in `alerts/`."""
