"""Several GPUs, of one host or of many, on one job. ``sharing`` is where a job comes in."""
