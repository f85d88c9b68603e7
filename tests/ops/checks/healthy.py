"""The facts of a host on which nothing is wrong: an A100's share at a provider, with the default stack."""

from sdops.facts.host import HostFacts
from sdops.facts.wanted import Wanted

WANTED = Wanted(
    address="203.0.113.10",
    playbook=("ansible-playbook", "-i", "inventory.ini", "ansible/site.yml", "-l", "gpu1"),
    digest="d" * 64,
    protocol=1,
)


#: The topics' own records come from the modules cases_*.py: HEALTHY, by the name of the field.
def healthy(*modules) -> HostFacts:
    """All of it, from the modules' parts."""
    parts = {}
    for module in modules:
        parts.update(getattr(module, "HEALTHY", {}))
    return HostFacts("gpu1", WANTED, **parts)
