"""Facts that trigger the checks of the topic ``env``, one by one."""

CASES = {}
