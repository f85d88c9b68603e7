"""One GET at a time over huggingface_hub's own connection, whichever HTTP library that is.

Its session knows the proxies and certificates that people have set up for the
hub: requests in the guide's generation, httpx in today's. Redirects are
followed by hand, so that the access token goes to the hub and nowhere else.
What goes wrong is returned, not raised: the libraries' exceptions hold the
request, and with it the token.
"""

import contextlib
import os
import socket
import ssl
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Callable, Optional
from urllib.parse import urljoin, urlsplit

from sdops_runtime.errors import SdopsError
from sdops_runtime.hub.token import Token

PUBLIC = "https://huggingface.co"
REDIRECTS = 5

#: Reads a body in pieces of up to so many bytes.
Chunks = Callable[[int], Iterator[bytes]]


@dataclass
class Answer:
    """What came back. status: 0 without a connection. broken: why it ended early, or empty."""

    status: int = 0
    headers: Mapping[str, str] = field(default_factory=dict)
    broken: str = ""


def endpoint() -> str:
    """The hub's address: HF_ENDPOINT, or the public one."""
    address = (os.environ.get("HF_ENDPOINT") or PUBLIC).strip().rstrip("/")
    if urlsplit(address).scheme not in ("http", "https") or not urlsplit(address).hostname:
        hint = f"Unset it, or set it to an address such as {PUBLIC}"
        raise SdopsError("hub-failed", "HF_ENDPOINT is not a web address.", hint)
    return address


def seconds(variable: str, default: float) -> float:
    """How long to wait for the next byte: the libraries' own variable, or ``default``."""
    try:
        return max(float(os.environ.get(variable) or default), 0.1)
    except ValueError:
        return default


class Connection:
    """The way to the hub at ``endpoint``, with an access token or without."""

    def __init__(self, endpoint: str, token: Optional[Token]) -> None:
        self.endpoint = endpoint
        self.token = token

    def get(self, path: str, wait: float, read: Callable[[Answer, Chunks], None], start: int = 0) -> Answer:
        """Asks for ``path``, from byte ``start`` on, and has ``read`` take the body of a good answer.

        wait: seconds without a byte after which the connection counts as dead.
        Raises only what ``read`` raises, and stack-missing.
        """
        answer = Answer()
        kinds = _errors()
        try:
            with self._open(self.endpoint + path, start, wait) as (response, chunks):
                answer.status, answer.headers = response.status_code, response.headers
                if answer.status < 300:
                    read(answer, chunks)
        except kinds as error:
            answer.broken = _reason(error, wait)
        return answer

    @contextlib.contextmanager
    def _open(self, url: str, start: int, wait: float) -> Iterator[tuple[Any, Chunks]]:
        # Unpacked, so that sizes are those of the files.
        headers = {"User-Agent": "sdops", "Accept-Encoding": "identity"}
        if start:
            headers["Range"] = f"bytes={start}-"
        for left in range(REDIRECTS, -1, -1):
            headers.pop("Authorization", None)
            if self.token is not None and _origin(url) == _origin(self.endpoint):
                headers["Authorization"] = f"Bearer {self.token.value}"
            with _sent(url, headers, wait) as (response, chunks):
                target = response.headers.get("Location")
                if not target or not 300 <= response.status_code < 400 or not left:
                    yield response, chunks
                    return
                url = urljoin(url, target)


@contextlib.contextmanager
def _sent(url: str, headers: Mapping[str, str], wait: float) -> Iterator[tuple[Any, Chunks]]:
    from huggingface_hub import utils

    session: Any = utils.get_session()  # type: ignore[attr-defined]
    # requests has an attribute of that name too: a flag.
    if callable(getattr(session, "stream", None)):
        with session.stream("GET", url, headers=headers, timeout=wait, follow_redirects=False) as response:
            yield response, response.iter_bytes
    else:
        options = {"timeout": wait, "stream": True, "allow_redirects": False}
        with session.get(url, headers=headers, **options) as response:
            yield response, response.iter_content


def _errors() -> tuple[type[BaseException], ...]:
    """What either HTTP library raises: requests' are OSErrors, httpx's have a base of their own."""
    try:
        from huggingface_hub import utils
    except ImportError as error:
        raise SdopsError(
            "stack-missing",
            f"huggingface_hub is not installed or broken: {error}.",
            "Install the libraries: pip install 'sdops[local]'",
        ) from error
    base: Any = utils.HfHubHTTPError  # type: ignore[attr-defined]
    return (OSError, *(kind for kind in base.__mro__ if kind.__name__ == "HTTPError"))


def _origin(url: str) -> tuple[str, str, int]:
    parts = urlsplit(url)
    port = parts.port or (443 if parts.scheme == "https" else 80)
    return parts.scheme, (parts.hostname or "").lower(), port


def _reason(error: BaseException, wait: float) -> str:
    """Why a connection failed: the first cause in the chain that says it plainly."""
    link: Optional[BaseException] = error
    while link is not None:
        kind = type(link).__name__
        if isinstance(link, socket.gaierror):
            return "its name cannot be looked up (DNS)"
        if isinstance(link, ssl.SSLCertVerificationError):
            return f"its certificate is not trusted ({link.verify_message})"
        if isinstance(link, ConnectionRefusedError):
            return "the connection was refused"
        if isinstance(link, (socket.timeout, TimeoutError)) or "Timeout" in kind:
            return f"no answer within {wait:g} seconds"
        if "Proxy" in kind:
            return "the proxy does not let it through"
        if kind == "OfflineModeIsEnabled":
            return "HF_HUB_OFFLINE is set"
        link = link.__cause__ or link.__context__
    return "the connection was cut"
