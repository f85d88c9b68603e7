"""Facts that trigger the checks of the topic ``gpu``, one by one."""

CASES = {}
