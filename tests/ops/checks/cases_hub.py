"""Facts that trigger the checks of the topic ``hub``, one by one."""

CASES = {}
