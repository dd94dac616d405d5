"""Events of trackers: lines of JSON to rows."""
