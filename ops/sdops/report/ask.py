"""Asks the person at the terminal; where there is none, says which option has the answer."""

import sys
from collections.abc import Sequence

import typer

from sdops.errors import SdopsError
from sdops.host_keys import Shown
from sdops.report.terminal import messages, plain


class Asking:
    """An ``enrol.Ask``."""

    def text(self, question: str, option: str) -> str:
        """An answer, which is not empty."""
        self._demand(question, option)
        return str(typer.prompt(question, err=True)).strip()

    def secret(self, question: str) -> str:
        """An answer that is not shown; "" for none."""
        if not sys.stdin.isatty():
            return ""
        return str(typer.prompt(question, default="", show_default=False, hide_input=True, err=True)).strip()

    def trust(self, name: str, keys: Sequence[Shown], option: str) -> bool:
        """Whether these are the host's keys, after they were shown."""
        self._demand(f"Are these the keys of {name}?", option, [one.fingerprint for one in keys])
        messages().print(plain(f"{name} is new here. It shows these keys:"), soft_wrap=True)
        for one in keys:
            kind = one.kind.removeprefix("ssh-").removeprefix("ecdsa-sha2-").upper()
            messages().print(plain(f"    {one.fingerprint}  {kind}"), soft_wrap=True)
        messages().print(
            "The provider's console shows the host's own (ssh-keygen -lf /etc/ssh/ssh_host_ed25519_key.pub)."
        )
        return typer.confirm("Are they the same, or do you trust this network?", err=True)

    def _demand(self, question: str, option: str, shown: Sequence[str] = ()) -> None:
        if not sys.stdin.isatty():
            more = f" It shows {', '.join(shown)}." if shown else ""
            raise SdopsError(
                "usage", f"There is no terminal to answer at: {question}{more}", f"Give it as {option}."
            )
