"""Operation: jobs, schedules, sensors, and the state of the lake as a person sees it."""
