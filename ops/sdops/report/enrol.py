"""What ``sdops init`` found and did, and what to type next."""

import shlex

from sdops import vault
from sdops.enrol import Enrolled, Kept
from sdops.inventory_wanted import program
from sdops.report.terminal import document, messages, plain, results


def render(done: Enrolled, as_json: bool) -> None:
    """Says it; the commands to type are the result."""
    stored = done.stored
    if as_json:
        document(
            {
                "ok": True,
                "host": done.name,
                "address": done.address,
                "inventory": str(done.file),
                "added": done.added,
                "trusted": done.trusted or None,
                "gpu": done.gpu or None,
                "token": done.token.value,
                "vault": None if stored is None else str(stored.file),
                "vault_password_file": str(stored.password) if stored and stored.password else None,
                "next": list(done.next),
            }
        )
        return
    lines = [f"The login at {done.address} works."]
    lines.append(
        f"Its GPU: {done.gpu}" if done.gpu else "nvidia-smi does not answer there: sdops doctor says why."
    )
    if done.trusted:
        lines.insert(0, f"Its keys are in {done.trusted} now.")
    if done.added:
        lines.append(f"It is {done.name} in {done.file}.")
    else:
        lines.append(f"It is {done.name} in {done.file} already; nothing was changed there.")
    lines += _of_token(done)
    for line in lines:
        messages().print(plain(line), soft_wrap=True)
    messages().print("Next:")
    for command in done.next:
        results().print(plain(f"    {command}"), soft_wrap=True)
    if done.next[0].startswith("export "):
        messages().print("The first line tells Ansible where the password is: once in each terminal.")


def _of_token(done: Enrolled) -> list[str]:
    """What became of the hub's token, and how to change that."""
    stored = done.stored
    if stored is not None and stored.kept:
        known = stored.password is not None and not vault.same(stored.password, vault.configured())
        option = ["--vault-password-file", str(stored.password)] if known else []
        edit = shlex.join([program("ansible-vault"), "edit", *option, str(stored.file)])
        return [
            f"{stored.file} is there already, and was left as it is.",
            f"To change the token in it: {edit}",
        ]
    if stored is not None:
        source = f" of {done.source}" if done.source else ""
        return [f"The token{source} is in {stored.file}, encrypted with the password in {stored.password}."]
    if done.token is Kept.NONE:
        words = ["sdops", "init", done.name, "-i", str(done.file), "--token-file", "FILE"]
        return [f"No access token of the model hub is stored. For models that need one: {shlex.join(words)}"]
    return []
