"""The login of an SSH connection: which keys are tried, and in which order.

Imports no SSH library: it is handed one.
"""

import base64
import io
import socket
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from sdops.errors import SdopsError
from sdops.transport import hint
from sdops.transport_settings import Way
from sdops.transport_socket import Deadline, said

#: An agent that has not told its keys after so many seconds hangs.
AGENT = 3.0


class Login:
    """Tries keys in the order of their promise: every wrong one is a round trip, and servers bear about five.

    Paramiko calls it (``auth_strategy``). Never asks for a passphrase, or for a password.
    """

    #: OpenSSH's servers hang up at the sixth (MaxAuthTries).
    MOST = 5

    def __init__(self, way: Way, name: str, deadline: Deadline, paramiko: Any) -> None:
        self._way, self._name, self._deadline, self._paramiko = way, name, deadline, paramiko
        self._agent: socket.socket | None = None
        self._locked: list[Path] = []
        self._unreadable: list[str] = []
        self._tried: list[str] = []

    def authenticate(self, transport: Any) -> None:
        """Logs in, or raises SdopsError."""
        try:
            self._try_all(transport)
        finally:
            if self._agent:
                self._agent.close()

    def _try_all(self, transport: Any) -> None:
        paramiko = self._paramiko
        transport.auth_timeout = self._deadline.left
        methods: Sequence[str] = ()
        for key, shown in self._keys():
            if len(self._tried) == self.MOST:
                break
            self._tried.append(shown)
            try:
                more = transport.auth_publickey(self._way.user, key)
            except paramiko.BadAuthenticationType as error:
                methods = error.allowed_types
                break
            except (paramiko.AuthenticationException, ValueError, TypeError):
                if transport.is_active() and not self._deadline.over:
                    continue
                break
            except (paramiko.SSHException, EOFError, OSError):
                break
            if not more:
                return
            methods = more
        if self._deadline.over:
            raise TimeoutError
        raise self._refusal(methods)

    def _refusal(self, methods: Sequence[str]) -> SdopsError:
        if not self._tried and self._locked:
            key = self._locked[0]
            return SdopsError(
                "ssh-key-locked",
                f"The key {key} has a passphrase, and no agent holds it.",
                hint("Give it to an agent.", f"ssh-add {key}"),
            )
        if not self._tried:
            reason = f" ({'; '.join(self._unreadable)})" if self._unreadable else ""
            return SdopsError(
                "ssh-key-missing",
                f"There is no SSH key on this machine to log in to {self._name} with{reason}.",
                hint("Make one, and give the host its public half.", "ssh-keygen -t ed25519"),
            )
        user = self._way.user
        what = f"{self._name} lets {user} in by none of the keys that were tried: {', '.join(self._tried)}"
        if methods and "publickey" not in methods:
            what = f"{self._name} wants more of {user} than a key: {', '.join(methods)}"
        if self._locked:
            what += f"; {self._locked[0]} has a passphrase, and no agent holds it"
        return SdopsError(
            "login-refused",
            f"{what}.",
            hint(
                f"Put your public key into ~{user}/.ssh/authorized_keys, on the host's console at the "
                "provider, or name the right account and key in the inventory (ansible_user, "
                "ansible_ssh_private_key_file). This shows what is tried.",
                self._way.line().replace("ssh ", "ssh -v ", 1),
            ),
        )

    def _keys(self) -> Iterator[tuple[Any, str]]:
        """Keys and their names: those that settings name, then the agent's, then the usual files."""
        agent = {key.asbytes(): key for key in self._agent_keys()}
        there = (path for path in self._way.keys if self._way.named or path.exists())
        later = []
        for path in there:
            held = agent.pop(_public(path), None)
            if held is not None:
                yield held, f"{path.name} (agent)"
            elif self._way.named:
                yield from self._from_file(path)
            else:
                later.append(path)
        if not self._way.only_keys:
            for key in agent.values():
                yield key, f"{key.comment or key.get_name()} (agent)"
        for path in later:
            yield from self._from_file(path)

    def _from_file(self, path: Path) -> Iterator[tuple[Any, str]]:
        from cryptography.exceptions import UnsupportedAlgorithm

        try:
            key = self._read(path)
        except (self._paramiko.PasswordRequiredException, TypeError):
            self._locked.append(path)
        except (self._paramiko.SSHException, OSError, ValueError, UnsupportedAlgorithm) as error:
            if "password" in str(error).lower() or "passphrase" in str(error).lower():
                self._locked.append(path)
            else:
                self._unreadable.append(f"{path}: {said(error)}")
        else:
            yield key, path.name

    def _read(self, path: Path) -> Any:
        """A private key in any form that ssh reads; PKCS8, which openssl writes, is not among Paramiko's."""
        if not path.exists():
            raise FileNotFoundError(0, "there is no such file")
        text = path.read_bytes()
        if b"BEGIN PRIVATE KEY" not in text:
            return self._paramiko.PKey.from_path(path)
        from cryptography.hazmat.primitives import serialization
        from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
        from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey

        kinds = (
            (RSAPrivateKey, self._paramiko.RSAKey),
            (EllipticCurvePrivateKey, self._paramiko.ECDSAKey),
            (Ed25519PrivateKey, self._paramiko.Ed25519Key),
        )
        key = serialization.load_pem_private_key(text, None)
        for kind, ours in kinds:
            if isinstance(key, kind):
                openssh, bare = serialization.PrivateFormat.OpenSSH, serialization.NoEncryption()
                form = key.private_bytes(serialization.Encoding.PEM, openssh, bare).decode()
                return ours.from_private_key(io.StringIO(form))
        raise ValueError("SSH knows no keys of this kind")

    def _agent_keys(self) -> Sequence[Any]:
        """The keys that the agent holds; none where there is no agent, or one that does not answer."""
        if not self._way.agent:
            return ()
        self._agent = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._agent.settimeout(min(AGENT, self._deadline.left))
        agent = self._paramiko.agent.AgentSSH()
        try:
            self._agent.connect(self._way.agent)
            # Its own way to connect knows the socket of SSH_AUTH_SOCK only.
            agent._connect(self._agent)
        except (OSError, self._paramiko.SSHException):
            return ()
        # Long enough for a person to touch a token, which the signature may wait for.
        self._agent.settimeout(self._deadline.left)
        keys: Sequence[Any] = agent.get_keys()
        return keys


def _public(path: Path) -> bytes:
    """The public half of a key, from the file beside it; b"" where there is none."""
    try:
        words = path.with_name(f"{path.name}.pub").read_bytes().split()
        return base64.b64decode(words[1])
    except (OSError, IndexError, ValueError):
        return b""
