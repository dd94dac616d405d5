"""Running it: jobs, the schedule, the sensors, and what a person sees of the state of the lake."""
