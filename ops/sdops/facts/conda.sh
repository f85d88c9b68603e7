# Where conda is, its version, channels and terms of service.
