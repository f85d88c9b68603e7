"""Test hosts: "fresh VMs" with real systemd and sshd, in namespaces of this machine.

Needs root, Linux and the packages of prepare.sh. Standard library only. See lab for use from
Python, fixtures for use in tests, ``python -m hosts --help`` for use by hand.
"""
