"""The demo: one session of the virtual trainee, its film and plots, and its scores against the truth."""
