"""Facts that trigger the checks of the topic ``kernel``, one by one."""

CASES = {}
