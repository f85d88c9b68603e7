"""The hub's access token on the host: there, owner, mode. Never its value. No I/O here."""

from dataclasses import dataclass

from sdops.facts.lines import UNSAID, Lines
from sdops.facts.probe import Output, Probe
from sdops.facts.unknown import Unknown
from sdops.facts.wanted import Wanted

#: What a token's file can hold.
FORMS = ("good", "empty", "quoted", "lines", "blank", "characters", "folder", "hidden")


@dataclass(frozen=True)
class Token:
    """The file of the hub's access token, where the account's worker looks for it.

    variable: the environment variable that holds a token itself, which comes before the file; "" for none.
    own: whether the file is the account's. mode: of the file, octal. form: good, empty, quoted, lines
    (more than one), blank (one inside), characters (that no token has), folder (it is one), hidden (it may
    not be read). folder_own, folder_mode: the same of the folder that it lies in.
    """

    path: str | Unknown = UNSAID
    variable: str = ""
    there: bool | Unknown = UNSAID
    owner: str = ""
    own: bool | Unknown = UNSAID
    mode: int | Unknown = UNSAID
    form: str | Unknown = UNSAID
    folder_own: bool | Unknown = UNSAID
    folder_mode: int | Unknown = UNSAID


def parse(output: Output, wanted: Wanted) -> Token | Unknown:
    """The facts in what the probe printed."""
    lines = Lines(output.text)
    uid = lines.text("account")
    if uid == "":
        return Unknown(f"there is no account {wanted.user}")
    path, variable, there = lines.text("path"), lines.text("variable"), lines.text("there")
    file, folder, form = lines.text("file"), lines.text("folder"), lines.text("form")
    known = path, "" if isinstance(variable, Unknown) else variable
    if there == "hidden":
        return Token(*known, Unknown("the folder that the token would lie in may not be seen by this login"))
    own: bool | Unknown = UNSAID
    folder_own: bool | Unknown = UNSAID
    mode: int | Unknown = UNSAID
    folder_mode: int | Unknown = UNSAID
    owner = ""
    if isinstance(file, str):
        number, bits, _, owner = file.split(" ", 3)
        own, mode = number == uid, int(bits, 8)
    if isinstance(folder, str):
        number, bits = folder.split(" ")
        folder_own, folder_mode = number == uid, int(bits, 8)
    form = form if form in FORMS else UNSAID
    return Token(*known, lines.flag("there"), owner, own, mode, form, folder_own, folder_mode)


PROBE = Probe("token", 10, parse)
