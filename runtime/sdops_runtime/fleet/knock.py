"""Asks whether a fleet's head is there and lets this host in, by TLS alone and without the engine.

The engine says of everything that the head is not there, and what it began for that stays behind: a thread
and three open files each time. Here what is amiss with a certificate is told from a head that is away.
Standard library only, Python 3.9.
"""

import os
import socket
import ssl
import time

from sdops_runtime.errors import SdopsError
from sdops_runtime.fleet import certificate
from sdops_runtime.fleet.engine import LostError
from sdops_runtime.fleet.membership import DEPLOY, Membership

#: What tells of an end in the midst of it, as when the head is just being stopped.
_BROKEN = (ssl.SSLEOFError, ssl.SSLZeroReturnError, ssl.SSLSyscallError, ssl.SSLWantReadError)


def knock(mine: Membership, seconds: float) -> None:
    """Returns if the head lets this host in. seconds: for each of its answers.

    Raises LostError where it is not there, and SdopsError("fleet-unusable") where the certificates are wrong.
    """
    context = _context(mine)
    host, _, port = mine.scheduler.rpartition(":")
    try:
        with (
            socket.create_connection((host, int(port)), seconds) as plain,
            context.wrap_socket(plain, server_hostname=host) as secured,
        ):
            # In TLS 1.3 it is learned only now whether one's own certificate is taken.
            if not secured.recv(1):
                raise LostError
    except _BROKEN as error:
        raise LostError from error
    except ssl.SSLCertVerificationError as error:
        raise _wrong(
            f"The certificate that the head of the fleet shows is not good: {error.verify_message}."
        ) from error
    except ssl.SSLError as error:
        why = (error.reason or str(error)).lower().replace("_", " ")
        raise _wrong(
            f"The head of the fleet does not let {mine.name} in with its certificate: {why}."
        ) from error
    except OSError as error:
        raise LostError from error


def readable(mine: Membership) -> None:
    """Raises SdopsError("fleet-unusable") where a file of the host's certificate cannot be read."""
    for path in (mine.authority, mine.certificate, mine.key):
        if not os.access(path, os.R_OK):
            raise _wrong(f"The certificate file {path} cannot be read.")


def _context(mine: Membership) -> ssl.SSLContext:
    """What the host shows and whom it believes. Raises SdopsError("fleet-unusable")."""
    readable(mine)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False  # whoever has a certificate of the fleet's belongs to it
    try:
        context.load_verify_locations(mine.authority)
        since, until = certificate.validity(mine.certificate)
        now = time.time()
        if now > until:
            day = certificate.day(until)
            raise _wrong(f"The certificate of {mine.name} for the fleet expired on {day}.")
        if now < since:
            day = certificate.day(since)
            raise _wrong(f"The certificate of {mine.name} is valid from {day} on: is its clock right?")
        context.load_cert_chain(mine.certificate, mine.key)
    except ssl.SSLError as error:
        why = (
            f"The key {mine.key} does not match the certificate of {mine.name}."
            if error.reason == "KEY_VALUES_MISMATCH"
            else f"The certificate of {mine.name} for the fleet is damaged: {error.reason or error}."
        )
        raise _wrong(why) from error
    except (OSError, ValueError) as error:
        raise _wrong(f"The certificate of {mine.name} for the fleet is damaged: {error}.") from error
    return context


def _wrong(message: str) -> SdopsError:
    return SdopsError("fleet-unusable", message, DEPLOY)
