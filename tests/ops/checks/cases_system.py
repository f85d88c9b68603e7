"""Facts that trigger the checks of the topic ``system``, one by one."""

CASES = {}
