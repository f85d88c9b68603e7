"""Takes out of texts what a person would not give away: secrets, addresses, names, prompts. No I/O here.

The same thing gets the same word everywhere, so that a text can still be read. What is doubtful is taken out.
"""

import base64
import json
import re
import shlex
from collections import Counter
from collections.abc import Iterable
from ipaddress import ip_address
from typing import Any
from urllib.parse import quote

#: Tokens of the hub and of other services, by their forms; what a URL or a header carries; private keys.
_SECRETS = (
    re.compile(r"\bhf_[A-Za-z0-9]{8,}"),
    re.compile(r"\b(?:gh[pousr]|github_pat|glpat|sk|xox[abp])[_-][A-Za-z0-9_-]{16,}"),
    re.compile(r"\bAKIA[0-9A-Z]{16}\b"),
    re.compile(r"\beyJ[\w-]{8,}\.[\w-]{8,}\.[\w-]*"),
    re.compile(r"(?<=://)[^/\s:@]+:[^/\s@]+(?=@)"),
    re.compile(r"(?i)(?<=bearer )[A-Za-z0-9._~+/=-]{8,}"),
    re.compile(r"(?i)(?<=authorization: basic )[A-Za-z0-9._~+/=-]+"),
    re.compile(r"-----BEGIN [A-Z ]*PRIVATE KEY-----.*?(?:-----END [A-Z ]*PRIVATE KEY-----|\Z)", re.DOTALL),
)

#: What the name of a secret ends with; "bypass" and "tokens" are none.
_CALLED = (
    r"(?:password|passwd|passphrase|(?<![a-z])(?:pass|pwd)|token|secret|credentials?|signature"
    r"|(?:api|access|private|secret|auth)[_-]?key|_key(?==))(?:_value|_text)?"
)
#: A value: quoted, in quotes that are themselves escaped, quoted without an end, or up to the next blank.
_VALUE = (
    r"(?P<value>\"(?:[^\"\\]|\\.)*\"|'(?:[^'\\]|\\.|'')*'|(?P<quote>\\+[\"']).*?(?<!\\)(?P=quote)"
    r"|\\*[\"'][^\n]*|[^\s&\"']+?(?=[,;)\]}.]*(?:[\s&\"'\\]|$)))"
)
#: As in ``x_password=…``, ``"token": …``; ``--token …``, ``["--token", …]``; ``sshpass -p …``.
_NAMED = re.compile(rf"(?i)(?P<before>{_CALLED}\\*[\"']?[ \t]*(?:=|:(?!/))[ \t]*){_VALUE}")
_OPTION = re.compile(
    rf"(?i)(?P<before>(?<![\w-])--(?!no-)[\w-]*{_CALLED}(?:[ \t]+(?!-)|\\*[\"'],\s*(?=\\*[\"']))){_VALUE}"
)
_SSHPASS = re.compile(rf"(?P<before>\bsshpass\s+-p\s*){_VALUE}")
_IS_CALLED = re.compile(rf"(?i).*{_CALLED}")
#: What stands in the place of a value where there is none, and what is no single value.
_NO_VALUE = re.compile(r"(?i)(?:null|none|true|false|yes|no|not|on|off|~|<[^>]*>|[{\[].*|\d{1,3})?")

_IPV6 = r"(?:[0-9a-fA-F]{0,4}:){2,7}(?:\d{1,3}(?:\.\d{1,3}){3}|[0-9a-fA-F]{0,4})"
_ADDRESS = re.compile(
    rf"(?<![\w.:]){_IPV6}(?![\w:]|\.\w)|(?<![\w.])\d{{1,3}}(?:\.\d{{1,3}}){{3}}(?!\w|\.\d)"
    r"|\bip(?:-\d{1,3}){4}\b"
)
_MAC = re.compile(r"(?<![\w:-])[0-9A-Fa-f]{2}([:-])(?:[0-9A-Fa-f]{2}\1){4}[0-9A-Fa-f]{2}(?![\w:-])")
#: What comes before four numbers that are a version.
_VERSION = re.compile(
    r"(?i)(?:[=<>~!]=|(?:version|driver|release|build|cuda|cudnn|cublas|cufft|curand|cusolver|cusparse|nccl"
    r"|nvtx|nvjitlink)[\w-]*[\"']?[ :=][\"' ]*)$"
)
_PICTURE = re.compile(
    r"[^\s/\"'\\=:,;()\[\]{}]+\.(?:jpe?g|jfif|png|webp|tiff?|bmp|gif|hei[cf]|avif|jxl|jp2|dng)\b",
    re.IGNORECASE,
)
#: Mail, and accounts on machines. Nothing before it that could belong to it, or long words would take long.
_ACCOUNT = re.compile(rf"(?<![\w.+@-])([\w.+-]+)@({_IPV6}(?![\w:])|[\w-]+(?:\.[\w-]+)*)")
#: What has an @ and is neither: units of systemd, versions.
_NO_HOST = re.compile(r".*\.(?:service|socket|slice|scope|timer|target|mount|device)|v?\d+(?:\.\d+)*")

#: A secret that is shorter could be part of any word; and so short a one could be any word.
SHORTEST, WORD = 8, 4
#: Addresses that are the same for everybody.
_COMMON = ("127.0.0.1", "0.0.0.0", "::1", "::")  # noqa: S104
#: Names that are, too, and words that are no names.
_NOBODY = frozenset(
    {"root", "sdops", "local", "localhost", "user", "admin", "ubuntu", "debian", "gpu", "all", "ungrouped"}
)


class Scrub:
    """Words in the place of what is nobody's business. taken: how often, by kind.

    secrets: what is known to be one. names: other things that are to be hidden, each with its word.
    """

    def __init__(self, secrets: Iterable[str] = (), names: Iterable[tuple[str, str]] = ()) -> None:
        self.taken: Counter[str] = Counter()
        self._words: dict[tuple[str, str], str] = {}
        known = {secret for secret in secrets if not _NO_VALUE.fullmatch(secret)}
        forms = {form for secret in known if len(secret) >= SHORTEST for form in _forms(secret)}
        self._secrets = sorted(forms, key=len, reverse=True)
        self._short = [
            re.compile(rf"(?<!\w){re.escape(form)}(?!\w)")
            for secret in sorted(known, key=len, reverse=True)
            if WORD <= len(secret) < SHORTEST
            for form in sorted(_escaped(secret), key=len, reverse=True)
        ]
        # The longest first: a name may be part of another.
        chosen = {text: word for text, word in names if len(text) > 1 and text.lower() not in _NOBODY}
        self._names = dict(sorted(chosen.items(), key=lambda pair: len(pair[0]), reverse=True))

    def clean(self, text: str, before: str = "") -> str:
        """The text without all that. before: what stands before it, and is no part of it."""
        for secret in self._secrets:
            if secret in text:
                self.taken["secret"] += text.count(secret)
                text = text.replace(secret, "<secret>")
        for pattern in (*self._short, *_SECRETS):
            text = pattern.sub(self._secret, text)
        for pattern in (_NAMED, _OPTION, _SSHPASS):
            text = pattern.sub(self._value, text)
        text = _ACCOUNT.sub(self._account, text)
        for name, word in self._names.items():
            text, count = re.subn(rf"(?<!\w){re.escape(name)}(?!\w)", word, text)
            if count:
                self.taken[word.strip("<>~").partition("-")[0] or "home"] += count
        text = _MAC.sub(lambda found: self._word("mac", found[0].lower().replace("-", ":")), text)
        text = _ADDRESS.sub(lambda found: self._address(found, before), text)
        return _PICTURE.sub(lambda found: self._word("picture", found[0]), text)

    def clean_data(self, data: Any, called: str = "") -> Any:
        """The same of data as JSON has it. called: its name, which may say that it is a secret."""
        if isinstance(data, dict):
            return {self.clean(str(key)): self.clean_data(value, str(key)) for key, value in data.items()}
        if isinstance(data, list | tuple):
            return [self.clean_data(one) for one in data]
        if data is None or isinstance(data, bool):
            return data
        if _IS_CALLED.fullmatch(called) and (not isinstance(data, str) or not _NO_VALUE.fullmatch(data)):
            self.taken["secret"] += 1
            return "<secret>"
        return self.clean(data, f"{called}: ") if isinstance(data, str) else data

    def _secret(self, found: re.Match[str]) -> str:
        if found[0] == "<secret>":
            return found[0]
        self.taken["secret"] += 1
        return "<secret>"

    def _value(self, found: re.Match[str]) -> str:
        """A value that is called a secret, without the value; quotes stay."""
        value = found["value"]
        edge = re.match(r"\\*[\"']", value)
        quoted = edge[0] if edge else ""
        inside = value[len(quoted) :].removesuffix(quoted) if quoted else value
        if _NO_VALUE.fullmatch(inside):
            return found[0]
        self.taken["secret"] += 1
        return f"{found['before']}{quoted}<secret>{quoted}"

    def _account(self, found: re.Match[str]) -> str:
        user, host = found[1], found[2]
        nobody = user.lower() in _NOBODY
        if _is_address(host) or host in self._names:
            # What hides the host comes later, and the command can still be read.
            return found[0] if nobody or user in self._names else f"{self._word('user', user)}@{host}"
        if _NO_HOST.fullmatch(host) or (nobody and host.lower() in _NOBODY):
            return found[0]
        return self._word("mail" if "." in host else "account", found[0])

    def _address(self, found: re.Match[str], before: str) -> str:
        text = found[0].removeprefix("ip-").replace("-", ".")
        if not _is_address(text) or _VERSION.search((before + found.string[: found.start()])[-40:]):
            return found[0]  # a time, a version
        address = str(ip_address(text))
        return found[0] if address in _COMMON else self._word("address", address)

    def _word(self, kind: str, text: str) -> str:
        self.taken[kind] += 1
        number = sum(1 for one in self._words if one[0] == kind) + 1
        return self._words.setdefault((kind, text), f"<{kind}-{number}>")


def _is_address(text: str) -> bool:
    try:
        ip_address(text)
    except ValueError:
        return False
    return True


def _forms(secret: str) -> set[str]:
    """A secret as it may stand in a text: itself, escaped, in a URL, in base64 at its three offsets."""
    found = {*_escaped(secret), quote(secret, safe="")}
    for before in range(3):
        coded = base64.b64encode(b"\0" * before + secret.encode()).decode()
        # The first and last letters depend on the neighbours.
        found.add(coded[0 if not before else before + 1 : -4].rstrip("="))
    return {form for form in found if len(form) >= SHORTEST - 4}


def _escaped(secret: str) -> set[str]:
    """A secret in JSON, in JSON within JSON, in Python and in a shell, each without the quotes around it."""
    found = {secret, repr(secret)[1:-1], shlex.quote(secret).removeprefix("'").removesuffix("'")}
    for _ in range(2):
        found |= {json.dumps(form, ensure_ascii=plain)[1:-1] for form in found for plain in (True, False)}
    return found
