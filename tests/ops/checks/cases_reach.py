"""Facts that trigger the checks of the topic ``reach``, one by one."""

CASES = {}
