"""Every table and figure of the paper that Spotter implements, on virtual trainees whom no weights ever saw."""
