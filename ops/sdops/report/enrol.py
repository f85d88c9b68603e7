"""What ``sdops init`` found and did, and what to type next."""

from sdops.enrol import Enrolled
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
                "vault": None if stored is None else str(stored.file),
                "vault_password_file": None if stored is None else str(stored.password),
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
    if stored is not None and stored.kept:
        lines.append(f"{stored.file} is there already, and was left as it is.")
        edit = f"ansible-vault edit --vault-password-file {stored.password} {stored.file}"
        lines.append(f"To change the token in it: {edit}")
    elif stored is not None:
        lines.append(f"The token is in {stored.file}, encrypted with the password in {stored.password}.")
    for line in lines:
        messages().print(plain(line), soft_wrap=True)
    messages().print("Next:")
    for command in done.next:
        results().print(plain(f"    {command}"), soft_wrap=True)
