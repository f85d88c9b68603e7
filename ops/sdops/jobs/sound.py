"""Whether an event that a host sent is one: of known kinds, with the fields that readers count on."""

from collections.abc import Mapping

from sdops_runtime.protocol import Event

from sdops.desk import Message
from sdops.errors import SdopsError

_NUMBER = (int, float)
_TEXT = (str,)
_FLAG = (bool, type(None))
_ENDING: Mapping[str, tuple[type, ...]] = {
    "images": (int,),
    "failed": (int,),
    "flagged": (int,),
    "missing": (list,),
    "seconds": _NUMBER,
}

#: What each kind has to have; see protocol.Event.
FIELDS: Mapping[str, Mapping[str, tuple[type, ...]]] = {
    "loading": {"model": _TEXT},
    "download": {"done": _NUMBER, "total": _NUMBER},
    "loaded": {
        "model": _TEXT,
        "device": _TEXT,
        "dtype": _TEXT,
        "stack": (str, type(None)),
        "batch": (int,),
        "seconds": _NUMBER,
    },
    "notice": {"code": _TEXT, "message": _TEXT},
    "planned": {"total": (int,), "passes": (int,)},
    "step": {"indices": (list,), "step": (int,), "steps": (int,)},
    "image": {
        "index": (int,),
        "name": _TEXT,
        "sha256": _TEXT,
        "seed": (int,),
        "input": (int,),
        "prompt": (int,),
        "width": (int,),
        "height": (int,),
        "seconds": _NUMBER,
        "flagged": _FLAG,
        "retried": (bool,),
    },
    "item_failed": {
        "index": (int,),
        "seed": (int,),
        "input": (int,),
        "prompt": (int,),
        "code": _TEXT,
        "message": _TEXT,
        "hint": _TEXT,
    },
    "done": _ENDING,
    "cancelled": _ENDING,
    "failed": {**_ENDING, "code": _TEXT, "message": _TEXT, "hint": _TEXT},
}


def sound(message: Message) -> Event | None:
    """The event in a message; None for a kind that is not known. Raises SdopsError("host-nonsense")."""
    kind = str(message.data.get("event"))
    if kind not in FIELDS:
        return None
    if type(message.data.get("offset")) is not int:
        raise SdopsError("host-nonsense", "The host sent an event that has no place among the others.")
    data = {name: value for name, value in message.data.items() if name not in ("event", "offset", "bytes")}
    for name, types in FIELDS[kind].items():
        value = data.get(name)
        if not isinstance(value, types) or (isinstance(value, bool) and bool not in types):
            raise SdopsError(
                "host-nonsense",
                f"The host sent an event {kind!r} whose {name} makes no sense.",
                "Deploy the matching runtime: ansible-playbook ansible/site.yml --tags runtime",
            )
    return Event(kind, data)
