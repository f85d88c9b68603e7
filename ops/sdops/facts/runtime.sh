# The deployed runtime, its service and its queue.
