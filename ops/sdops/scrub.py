"""Takes out of texts what a person would not give away: secrets, addresses, names, prompts. No I/O here.

The same thing gets the same word everywhere, so that a text can still be read.
"""

import base64
import re
from collections import Counter
from collections.abc import Iterable
from ipaddress import ip_address
from urllib.parse import quote

#: Tokens of the hub and of other services, by their forms; what a URL or a header carries; private keys.
_SECRETS = (
    re.compile(r"\bhf_[A-Za-z0-9]{8,}"),
    re.compile(r"\b(?:gh[pousr]|github_pat|glpat|sk|xox[abp])[_-][A-Za-z0-9_-]{16,}"),
    re.compile(r"(?<=://)[^/\s:@]+:[^/\s@]+(?=@)"),
    re.compile(r"(?i)(?<=bearer )[A-Za-z0-9._~+/=-]{8,}"),
    re.compile(r"-----BEGIN [A-Z ]*PRIVATE KEY-----.*?(?:-----END [A-Z ]*PRIVATE KEY-----|\Z)", re.DOTALL),
    re.compile(r"(?i)(?:(?<=token=)|(?<=word=)|(?<=cret=)|(?<=_key=))[^\s&\"',}]{4,}"),
)
_ADDRESS = re.compile(
    r"(?<![\w.:])(?:\d{1,3}(?:\.\d{1,3}){3}|(?:[0-9a-fA-F]{0,4}:){2,7}[0-9a-fA-F]{0,4})(?![\w.:]*\w)"
)
_PICTURE = re.compile(
    r"[^\s/\"'\\=:,;()\[\]{}]+\.(?:jpe?g|png|webp|tiff?|bmp|gif|heic|avif)\b", re.IGNORECASE
)
_MAIL = re.compile(r"\b[\w.+-]+@[\w-]+\.[\w.-]*\w")

#: A secret that is shorter could be any word.
SHORTEST = 8
#: Addresses that are the same for everybody.
_COMMON = ("127.0.0.1", "0.0.0.0", "::1", "::")  # noqa: S104
#: Names that are, too, and words that are no names.
_NOBODY = frozenset({"root", "sdops", "local", "localhost", "user", "admin", "ubuntu", "debian", "gpu"})


class Scrub:
    """Words in the place of what is nobody's business. taken: how often, by kind.

    secrets: what is known to be one. names: other things that are to be hidden, each with its word.
    """

    def __init__(self, secrets: Iterable[str] = (), names: Iterable[tuple[str, str]] = ()) -> None:
        self.taken: Counter[str] = Counter()
        self._words: dict[tuple[str, str], str] = {}
        forms = {form for secret in secrets if len(secret) >= SHORTEST for form in _forms(secret)}
        self._secrets = sorted(forms, key=len, reverse=True)
        # The longest first: a name may be part of another.
        chosen = {text: word for text, word in names if len(text) > 1 and text.lower() not in _NOBODY}
        self._names = sorted(chosen.items(), key=lambda pair: len(pair[0]), reverse=True)

    def clean(self, text: str) -> str:
        """The text without all that."""
        for secret in self._secrets:
            if secret in text:
                self.taken["secret"] += text.count(secret)
                text = text.replace(secret, "<secret>")
        for pattern in _SECRETS:
            text = pattern.sub(self._secret, text)
        text = _MAIL.sub(lambda found: self._word("mail", found[0]), text)
        for name, word in self._names:
            text, count = re.subn(rf"(?<!\w){re.escape(name)}(?!\w)", word, text)
            if count:
                self.taken[word.strip("<>~").partition("-")[0] or "home"] += count
        text = _ADDRESS.sub(self._address, text)
        return _PICTURE.sub(lambda found: self._word("picture", found[0]), text)

    def _secret(self, found: re.Match[str]) -> str:
        if found[0] == "<secret>":
            return found[0]
        self.taken["secret"] += 1
        return "<secret>"

    def _address(self, found: re.Match[str]) -> str:
        try:
            address = str(ip_address(found[0]))
        except ValueError:
            return found[0]  # a time, a version
        return found[0] if address in _COMMON else self._word("address", address)

    def _word(self, kind: str, text: str) -> str:
        self.taken[kind] += 1
        number = sum(1 for one in self._words if one[0] == kind) + 1
        return self._words.setdefault((kind, text), f"<{kind}-{number}>")


def _forms(secret: str) -> set[str]:
    """A secret as it may stand in a text: itself, in a URL, in base64 at each of its three offsets."""
    found = {secret, quote(secret, safe="")}
    for before in range(3):
        coded = base64.b64encode(b"\0" * before + secret.encode()).decode()
        # The first and last letters depend on the neighbours.
        found.add(coded[0 if not before else before + 1 : -4].rstrip("="))
    return {form for form in found if len(form) >= SHORTEST - 4}
