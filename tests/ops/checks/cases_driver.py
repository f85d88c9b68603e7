"""Facts that trigger the checks of the topic ``driver``, one by one."""

CASES = {}
