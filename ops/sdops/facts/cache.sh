# Which models are on the host's disk, and whether they are complete.
