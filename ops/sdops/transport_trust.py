"""Whether a host's key is to be trusted: it is one that the files of known hosts name for it. No I/O here."""

import shlex
from collections.abc import Sequence

from sdops.errors import SdopsError
from sdops.transport import hint
from sdops.transport_known import Known, fingerprint
from sdops.transport_settings import Way


def judge(way: Way, name: str, known: Sequence[Known], kind: str, key: bytes) -> None:
    """Raises SdopsError unless the key is a known one of the host."""
    shown = f"{kind.removeprefix('ssh-').upper()} key {fingerprint(key)}"
    same = [one for one in known if one.kind == kind]
    if any(one.revoked and one.key == key for one in same):
        raise SdopsError(
            "host-key-changed",
            f"{name} shows a host key that was revoked: {shown}.",
            "Do not connect. Ask whoever revoked it.",
        )
    if any(one.key == key for one in same):
        return
    if same:
        place = f"{same[0].file}, line {same[0].line}"
        old = fingerprint(same[0].key)
        raise SdopsError(
            "host-key-changed",
            f"{name} shows another host key than before: {shown}, and not {old} ({place}).",
            hint(
                "If it was installed anew, that is why; if not, somebody may be in between. On the host's "
                f"console at the provider, ssh-keygen -lf /etc/ssh/ssh_host_{_file(kind)}_key.pub shows "
                "its key: "
                "only if that is the new one, forget the old and accept it.",
                shlex.join(["ssh-keygen", "-R", way.key_name, "-f", str(same[0].file)]),
                way.line(ask=True),
            ),
        )
    if not any(str(file) != "/dev/null" for file in way.known[:1]):
        raise SdopsError(
            "host-key-unknown",
            f"No file of known hosts can know {name}: UserKnownHostsFile is /dev/null.",
            "Take that option out of ansible_ssh_common_args, or of ssh's settings: sdops connects to no "
            "host "
            "whose key is not known.",
        )
    other = f"; {known[0].file} knows only its {known[0].kind} key" if known else ""
    raise SdopsError(
        "host-key-unknown",
        f"The host key of {name} is not known here: {shown}{other}.",
        hint(
            "See and accept it once. The provider's console shows the host's own fingerprints.",
            way.line(ask=True),
        ),
    )


def _file(kind: str) -> str:
    """The part of a host key's file name that tells its kind."""
    return next((part for part in ("ed25519", "ecdsa", "rsa") if part in kind), "*")
