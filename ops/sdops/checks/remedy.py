"""The commands that mend a host, ready to be typed. No I/O here."""

import shlex

from sdops.facts.host import HostFacts
from sdops.facts.stored import PASTED
from sdops.inventory import LOCAL


def playbook(facts: HostFacts, *tags: str) -> tuple[str, ...]:
    """The playbook's command for this host and these tags; none where no playbook can reach it."""
    words = facts.wanted.playbook
    if not words:
        return ()
    return (shlex.join([*words, "--tags", ",".join(tags)] if tags else words),)


def there(facts: HostFacts, command: str, *, as_account: bool = False) -> str:
    """A shell command as it is typed on this side to run on the host."""
    if facts.host in (LOCAL, PASTED):
        return command
    login = facts.wanted.user if as_account else facts.wanted.login
    return shlex.join(["ssh", *facts.wanted.ssh, f"{login}@{facts.wanted.address or facts.host}", command])


def rebuild(facts: HostFacts) -> tuple[str, ...]:
    """Has the environment built anew: without its receipt the playbook takes it for unfinished."""
    words = playbook(facts, "stack_env")
    if not words:
        return ()
    receipt = f"~/.conda/envs/{facts.wanted.env}/.sdops.json"
    return (there(facts, f"rm -f {receipt}", as_account=True), *words)


def home(facts: HostFacts) -> str:
    """The account's home on the host."""
    account = getattr(facts.system, "account", None)
    return getattr(account, "home", "") or f"/home/{facts.wanted.user}"
