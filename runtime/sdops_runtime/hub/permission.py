"""Asks the hub whether a model may be read with the access token that is found here. Keeps nothing.

The listing of a gated model is open to everybody, so one of its files has to be
asked for, too: the index, the first that ``from_pretrained`` reads.
"""

from typing import Any, Optional

from sdops_runtime.errors import SdopsError
from sdops_runtime.hub import connection as hub_connection
from sdops_runtime.hub import name as hub_name
from sdops_runtime.hub import token as hub_token
from sdops_runtime.hub.client import Client


def ask(model: str, revision: Optional[str]) -> dict[str, Any]:
    """What may be read: model, its revision, commit, the hub's address and where the token came from.

    token: None where there is none (and none was needed). Raises SdopsError:
    model-unknown, revision-unknown, token-missing, token-refused,
    licence-not-accepted, hub-offline, hub-failed, stack-missing.
    """
    if hub_name.folder(model) is not None:
        raise SdopsError(
            "model-unknown",
            f"{hub_name.shown(model)} is a folder on this disk: it needs no access.",
            "Name a model at the hub.",
        )
    name, wanted, token = model.strip(), hub_name.revision(revision), hub_token.find()
    client = Client(hub_connection.Connection(hub_connection.endpoint(), token), name)
    commit, _ = client.listing(wanted)
    client.index(commit)
    return {
        "model": name,
        "revision": wanted,
        "commit": commit,
        "endpoint": hub_connection.endpoint(),
        "token": None if token is None else token.source,
    }
