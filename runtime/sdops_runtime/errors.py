"""The one exception that a person is meant to read, and the register of its codes.

No I/O here. Standard library only, Python 3.9.
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class Code:
    """What an error code means, and whether the person's own input caused it (exit code 2)."""

    meaning: str
    usage: bool = False


#: Every code that ``sdops_runtime`` raises. A test holds this table and the code together.
CODES: dict[str, Code] = {
    # the request
    "settings-invalid": Code("a setting is outside its range", usage=True),
    "prompt-empty": Code("there is no prompt, or it is blank", usage=True),
    "request-invalid": Code("a stored job request cannot be read", usage=True),
    # the input image
    "image-missing": Code("an input file does not exist or may not be read", usage=True),
    "image-unreadable": Code("an input file is not an image, is empty or is cut off", usage=True),
    "image-too-large": Code("an input image has more pixels than is safe to open", usage=True),
    "image-shape": Code("an input image is too long and thin for the model", usage=True),
    # the model
    "model-unknown": Code("no model of that name exists at the hub, or no such folder", usage=True),
    "model-broken": Code("a model folder lacks a part, or a file in it is damaged"),
    "revision-unknown": Code("the model exists at the hub, that revision of it does not", usage=True),
    "token-missing": Code("the hub wants an access token and none was found"),
    "token-refused": Code("the hub does not accept the access token"),
    "licence-not-accepted": Code("the token's owner has not accepted the model's licence"),
    "hub-offline": Code("the hub cannot be reached and the model is not on this disk"),
    "hub-failed": Code("the hub answered with an error of its own"),
    "cache-unwritable": Code("the folder where models are kept cannot be written"),
    "disk-full": Code("there is not enough free disk space"),
    # the machine
    "stack-missing": Code("a Python library that makes the pictures is not installed or broken"),
    "device-unusable": Code("the wanted device is not there or cannot run this stack"),
    "dtype-unsupported": Code("the device cannot compute in the wanted number format", usage=True),
    "out-of-memory": Code("the images do not fit into the device's memory"),
    # the result
    "image-not-finite": Code("the model produced not-a-number values, in float32 too"),
    "output-unwritable": Code("a picture cannot be written where it should go"),
    "output-exists": Code("a picture of that name is there already", usage=True),
    "metadata-missing": Code("a PNG carries no settings of sdops", usage=True),
    "metadata-damaged": Code("a PNG, or what it tells of its settings, is damaged or cut off", usage=True),
    "metadata-newer": Code("a PNG was made by a newer sdops", usage=True),
    # the queue
    "job-unknown": Code("no job of that name is in the queue", usage=True),
    "queue-unusable": Code("the queue's files cannot be read or written"),
    "input-damaged": Code("a file that was sent is not what arrived"),
    "input-lost": Code("a host does not have an input any more that was sent to it"),
    "worker-dead": Code("the worker, which makes the pictures on a host, does not start"),
    "worker-running": Code("another worker serves the queue already"),
    "fleet-settings": Code("what a host knows of its fleet cannot be read"),
    "fleet-unusable": Code("what shares jobs out over a fleet is not there or does not start"),
    "fleet-piece": Code("pictures of a job ended several workers of the fleet"),
    "internal-error": Code("a fault of sdops itself, or one that it does not know yet"),
    "stack-unknown": Code("the manifest names no such stack", usage=True),
}


class SdopsError(Exception):
    """What is wrong, in one sentence, and what to type.

    ``code`` is a key of a register (``CODES`` here, the CLI's own beside it),
    ``message`` says what is so, ``hint`` what to do about it (may be empty).
    Never holds a secret: messages are shown, logged and sent as JSON.
    """

    def __init__(self, code: str, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.hint = hint

    def __reduce__(self) -> tuple[type, tuple[str, str, str]]:
        return (type(self), (self.code, self.message, self.hint))
