"""Which licence a model comes under, from the papers that lie beside its files. Reads files only.

Stable Diffusion's licences (the OpenRAIL-M family, paragraph 4) demand that
their text goes along with the model, so ``hub`` downloads the papers with the
weights, and this says where they are and what they are called. Where a model
has only a card that names its licence, ``hub.terms`` brings the text.
"""

import re
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Optional


@dataclass(frozen=True)
class Known:
    """A licence that the hub has a short name for. link: where people read it.

    path, sha256: its text at the hub, and what that is; empty where models carry it themselves.
    """

    name: str
    link: str
    path: str = ""
    sha256: str = ""


#: Stable Diffusion's licences by the hub's short names. The first one's text is, byte for byte, the
#: file LICENSE of github.com/CompVis/stable-diffusion (commit 69ae4b35), whose digest this is.
KNOWN = {
    "creativeml-openrail-m": Known(
        "CreativeML Open RAIL-M",
        "https://huggingface.co/spaces/CompVis/stable-diffusion-license",
        "/spaces/CompVis/stable-diffusion-license/resolve/14d42d09bffd871b1666a084fc954a50cff72ac0/license.txt",
        "be351ebe7ac01bcdbb018639aadcfd38f136b7dc3f2a3d4d3a24db51d1b210ef",
    ),
    "openrail++": Known(
        "CreativeML Open RAIL++-M",
        "https://huggingface.co/stabilityai/stable-diffusion-xl-base-1.0/blob/main/LICENSE.md",
    ),
}
_TEXT = re.compile(r"(?:licen[cs]e|copying)[^/]*", re.IGNORECASE)
_CARD = re.compile(r"readme[^/]*", re.IGNORECASE)


@dataclass(frozen=True)
class Licence:
    """name and link: for people, None where the papers do not tell. text, card: the papers; None without.

    kind: the hub's short name, empty where the card does not tell it.
    """

    name: Optional[str]
    link: Optional[str]
    text: Optional[Path]
    card: Optional[Path]
    kind: str = ""

    def as_dict(self) -> dict[str, Any]:
        """The fields as JSON has them."""
        return {key: str(value) if isinstance(value, Path) else value for key, value in asdict(self).items()}


def find(folder: Path, model: str) -> Licence:
    """The licence of the model in ``folder``. model: its name at the hub, for the link to its page."""
    papers = sorted(path for path in folder.iterdir() if path.is_file())
    texts = [path for path in papers if _TEXT.fullmatch(path.name)]
    cards = [path for path in papers if _CARD.fullmatch(path.name)]
    said = _front_matter(cards[0]) if cards else {}
    short = said.get("license", "")
    known = KNOWN.get(short.lower(), Known("", ""))
    name = said.get("license_name") or known.name or short or (_title(texts[0]) if texts else None)
    given = said.get("license_link", "")
    if not given.startswith(("https://", "http://")):
        # A file of the model's own, as a rule; that one is here.
        given = ""
    page = f"https://huggingface.co/{model}" if "/" in model else None
    text, card = (next(iter(found), None) for found in (texts, cards))
    return Licence(name, given or known.link or page, text, card, short.lower())


def _front_matter(card: Path) -> dict[str, str]:
    """The plain entries of the card's head, which is YAML between two lines of dashes."""
    lines = card.read_text(encoding="utf-8", errors="replace").splitlines()
    if not lines or lines[0].strip() != "---":
        return {}
    found: dict[str, str] = {}
    for line in lines[1:]:
        if line.strip() == "---":
            return found
        entry = re.fullmatch(r"(license(?:_name|_link)?):\s*(\S.*?)\s*", line)
        if entry:
            found[entry[1]] = _plain(entry[2].strip("\"'"))
    return {}


def _title(text: Path) -> Optional[str]:
    lines = text.read_text(encoding="utf-8", errors="replace").splitlines()
    title = next((line.strip(" #*") for line in lines if line.strip(" #*")), "")
    return _plain(title) or None


def _plain(text: str) -> str:
    """What a stranger wrote, on one line and without anything that a terminal would obey."""
    return "".join(letter if letter.isprintable() else "?" for letter in text)[:200]
