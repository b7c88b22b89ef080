"""What a band remembers without power. A file is written beside the old one and takes its place whole, or not at all."""

import json
import os


class Record:
    """A dict that lives in a file. Reading what is damaged or absent gives `default`."""

    def __init__(self, path, default):
        self._path = path
        self.values = dict(default)
        try:
            with open(path) as file:
                stored = json.load(file)
        except (OSError, ValueError):
            return
        if isinstance(stored, dict):
            self.values.update({key: value for key, value in stored.items() if isinstance(value, type(default.get(key, value)))})

    def save(self):
        """Write all values. Raises OSError when the flash is full or broken; the old file is still whole then."""
        new = self._path + ".new"
        with open(new, "w") as file:
            json.dump(self.values, file)
        os.rename(new, self._path)
