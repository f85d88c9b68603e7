"""Facts that trigger the checks of the topic ``runtime``, one by one."""

CASES = {}
