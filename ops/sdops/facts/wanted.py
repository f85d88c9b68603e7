"""What a host is meant to be: the settings of the inventory that facts are judged by. No I/O here."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Wanted:
    """A host's settings, with the defaults of the role ``sdops`` (ansible/roles/sdops/defaults/main.yml).

    address: the host's name or address for ssh; ssh: its options for it. login: the account that the
    connection was made as. prefix: where conda is
    found on the host. hub: the model hub's address. playbook: the words that
    begin every command which mends this host (as in ``ansible-playbook -i
    inventory.ini ansible/site.yml -l gpu1``); empty where no playbook can
    reach it: this machine, or a pasted output. digest: SHA-256 of the runtime
    that this side would deploy; protocol: its number. python: the Python that
    makes the pictures, where it is not the environment's: this machine's own.
    """

    user: str = "sdops"
    stack: str = "guide"
    env: str = "env1"
    expect_gpu: bool = True
    torch_by_pip: bool = False
    model: str = "CompVis/stable-diffusion-v1-4"
    revision: str = "fp16"
    hub: str = "https://huggingface.co"
    prefix: str = "/home/sdops/miniconda3"
    address: str = ""
    ssh: tuple[str, ...] = ()
    login: str = "root"
    playbook: tuple[str, ...] = ()
    digest: str = ""
    protocol: int = 0
    python: str = ""
