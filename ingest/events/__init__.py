"""Events of trackers: reads lines of JSON into rows."""
