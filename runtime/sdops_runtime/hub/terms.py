"""Brings the text of a licence that a model only names, to lie beside the model's files."""

import hashlib
import os
from pathlib import Path

from sdops_runtime.hub import client as hub_client
from sdops_runtime.hub import connection as hub_connection
from sdops_runtime.hub.connection import Answer, Chunks
from sdops_runtime.licence import KNOWN, Licence

NAME = "LICENSE.txt"
#: No licence is longer; an answer that is, is none.
MAX_BYTES = 2**20


def bring(licence: Licence, folder: Path) -> bool:
    """Writes the licence's text into the model's folder; False where it cannot be had or written.

    The text is checked against its digest, so whoever is asked for it can be a
    mirror. No token goes along: the text is open to everybody.
    """
    known = KNOWN.get(licence.kind)
    if known is None or not known.path:
        return False
    body = bytearray()

    def read(_: Answer, chunks: Chunks) -> None:
        for chunk in chunks(hub_client.CHUNK):
            body.extend(chunk)
            if len(body) > MAX_BYTES:
                return

    connection = hub_connection.Connection(hub_connection.endpoint(), None)
    connection.get(known.path, hub_connection.seconds(*hub_client.ASK_WAIT), read)
    if hashlib.sha256(body).hexdigest() != known.sha256:
        return False
    aside = folder / f".{NAME}.{os.getpid()}.tmp"
    try:
        aside.write_bytes(body)
        aside.replace(folder / NAME)
    except OSError:
        return False
    return True
