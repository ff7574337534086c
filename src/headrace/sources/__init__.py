"""Where inputs come from: iterables, files, URLs."""
