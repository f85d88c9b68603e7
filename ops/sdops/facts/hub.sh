# Whether the model hub can be reached from the host.
