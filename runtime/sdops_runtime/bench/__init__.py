"""How fast this runtime makes pictures, against the guide's own script, in one run on one machine.

Random weights, so that nothing is downloaded: what a network computes takes as long with any weights. Each
way has a process of its own. It reports and judges nothing.
"""
