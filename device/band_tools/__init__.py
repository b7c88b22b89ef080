"""What the command line does to a band on a cable."""
