"""Which licence a model comes under, from the papers that lie beside its files. Reads files only.

Stable Diffusion's licences (the OpenRAIL-M family, paragraph 4) demand that
their text goes along with the model, so ``hub`` downloads the papers with the
weights, and this says where they are and what they are called.
"""

import re
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Optional

#: The hub's short names for the licences of Stable Diffusion, their names, and where people read them.
KNOWN = {
    "creativeml-openrail-m": (
        "CreativeML Open RAIL-M",
        "https://huggingface.co/spaces/CompVis/stable-diffusion-license",
    ),
    "openrail++": (
        "CreativeML Open RAIL++-M",
        "https://huggingface.co/stabilityai/stable-diffusion-xl-base-1.0/blob/main/LICENSE.md",
    ),
}
#: Best first: the text itself, then the model's card, which says what it is.
_TEXT = re.compile(r"(?:licen[cs]e|copying)[^/]*", re.IGNORECASE)
_CARD = re.compile(r"readme[^/]*", re.IGNORECASE)


@dataclass(frozen=True)
class Licence:
    """name and link: for people, None where the papers do not tell. file: the text, or else the card."""

    name: Optional[str]
    link: Optional[str]
    file: Optional[Path]

    def as_dict(self) -> dict[str, Any]:
        """The fields as JSON has them."""
        return {**asdict(self), "file": None if self.file is None else str(self.file)}


def find(folder: Path, model: str) -> Licence:
    """The licence of the model in ``folder``. model: its name at the hub, for the link to its page."""
    papers = sorted(path for path in folder.iterdir() if path.is_file())
    texts = [path for path in papers if _TEXT.fullmatch(path.name)]
    cards = [path for path in papers if _CARD.fullmatch(path.name)]
    said = _front_matter(cards[0]) if cards else {}
    short = said.get("license", "")
    name, link = KNOWN.get(short.lower(), (None, None))
    name = said.get("license_name") or name or short or (_title(texts[0]) if texts else None)
    given = said.get("license_link", "")
    if not given.startswith(("https://", "http://")):
        # A file of the model's own, as a rule; that one is here.
        given = ""
    page = f"https://huggingface.co/{model}" if "/" in model else None
    file = next(iter([*texts, *cards]), None)
    return Licence(name, given or link or page, file)


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
