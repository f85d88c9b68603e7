"""Facts that trigger the checks of the topic ``conda``, one by one."""

CASES = {}
