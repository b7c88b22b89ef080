"""The shipped coach on recorded people: what it sees of every clip, what that is worth, and pictures of where it fails."""
