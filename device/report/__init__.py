"""What a session leaves behind for people: film, voice, a plot of each set, and the folder they lie in."""
