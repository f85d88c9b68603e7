"""What the CLI itself can find wrong, the exit codes, and one register of all codes. No I/O here."""

from enum import IntEnum

from sdops_runtime.errors import CODES as RUNTIME_CODES
from sdops_runtime.errors import Code, SdopsError

__all__ = ["ALL_CODES", "CODES", "Code", "Exit", "SdopsError", "exit_code"]


class Exit(IntEnum):
    """The exit codes of every command."""

    OK = 0
    FAILED = 1
    USAGE = 2
    UNEXAMINED = 3
    INTERRUPTED = 130


#: Codes that only the CLI raises. A test holds this table and the code together.
CODES: dict[str, Code] = {
    "usage": Code("the command line cannot be understood", usage=True),
    "input-missing": Code("no input image was named", usage=True),
    "prompts-unreadable": Code("the file of prompts cannot be read or holds none", usage=True),
    "interrupted": Code("the person stopped it"),
    "check-unknown": Code("no check and no topic has that name", usage=True),
    "facts-unreadable": Code("a file holds no facts that doctor has stored", usage=True),
    "file-unwritable": Code("a file on this machine cannot be written"),
    "vault-failed": Code("Ansible Vault does not encrypt the hub's token"),
    "file-unreadable": Code("a file that was named cannot be read", usage=True),
    "manifest-unusable": Code("the file that tells what was made in a folder cannot be read or written"),
    "source-missing": Code("the image that a picture was made from is not found", usage=True),
    "source-differs": Code("an image is not, or no longer, the one that a picture was made from", usage=True),
    "folder-unreadable": Code("a folder cannot be read", usage=True),
    "sshfs-missing": Code("sshfs, which mounts a host's folders, is not installed or cannot mount"),
    "mount-taken": Code("a folder is no place to mount something in", usage=True),
    "mount-failed": Code("a host's folder cannot be mounted or unmounted"),
    "mount-unknown": Code("nothing of that name is mounted", usage=True),
    "mount-busy": Code("a mounted folder is in use"),
    # the inventory
    "host-unknown": Code("no such host is known", usage=True),
    "inventory-missing": Code("the inventory that was named does not exist", usage=True),
    "inventory-unreadable": Code(
        "Ansible cannot read the inventory, or a setting in it has no value", usage=True
    ),
    "ansible-missing": Code("Ansible, whose library reads inventories, is not installed"),
    # the way to a host
    "ssh-settings": Code("ssh is not there, or its settings for a host cannot be read", usage=True),
    "connection-unsupported": Code("a host is set up to be reached in another way than by SSH", usage=True),
    "host-name-unknown": Code("a host's name has no address"),
    "host-unreachable": Code("a host does not answer, or no network leads to it"),
    "ssh-refused": Code("a host is there, and nothing listens at its SSH port"),
    "ssh-closed": Code("a host ends the connection before the login, or speaks no SSH"),
    "host-key-unknown": Code("a host's key is not among the known ones"),
    "host-key-differs": Code("a host shows other keys than the one that it should have", usage=True),
    "host-key-changed": Code("a host shows another key than the known one"),
    "ssh-key-missing": Code("there is no SSH key on this machine to log in with"),
    "ssh-key-locked": Code("the SSH key has a passphrase, and no agent holds it"),
    "login-refused": Code("a host accepts none of the SSH keys that were tried"),
    "host-slow": Code("a host did not get ready in the time that it was given"),
    "connection-lost": Code("the connection to a host broke off"),
    "fleet-head-away": Code("the host that has the jobs of a fleet cannot be asked"),
    # the runtime on a host
    "runtime-missing": Code("a host has no runtime, or the account may not start it"),
    "runtime-stale": Code("a host has another runtime than that of this sdops"),
    "runtime-broken": Code("a host's runtime does not start, or says what is not known here"),
    "protocol-mismatch": Code("a host's runtime speaks another protocol"),
    "host-nonsense": Code("a host sent what no runtime sends"),
    "picture-lost": Code("a host has a picture no more that it made"),
    "transfer-failed": Code("a file was not brought to a host, or from it"),
}

ALL_CODES: dict[str, Code] = {**RUNTIME_CODES, **CODES}


def exit_code(code: str) -> Exit:
    """The exit code for an error code: 2 for wrong input, 130 for a person's own stop, else 1.

    A host may have one that is not known here.
    """
    if code == "interrupted":
        return Exit.INTERRUPTED
    return Exit.USAGE if code in ALL_CODES and ALL_CODES[code].usage else Exit.FAILED
