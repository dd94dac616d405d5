"""A partition, a day of logs or a site's day of events: read, judged, then published or refused."""
