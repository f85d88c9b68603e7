"""All facts of one host. No I/O here."""

from dataclasses import dataclass, field

from sdops.facts.access import Access
from sdops.facts.cache import Cache
from sdops.facts.conda import Conda
from sdops.facts.controller import Controller
from sdops.facts.driver import Driver
from sdops.facts.env import Env
from sdops.facts.hub import Hub
from sdops.facts.kernel import Kernel
from sdops.facts.nvidia import Nvidia
from sdops.facts.reach import Reach
from sdops.facts.runtime import Runtime
from sdops.facts.system import System
from sdops.facts.token import Token
from sdops.facts.unknown import Unknown
from sdops.facts.wanted import Wanted

#: In the place of what was left out on purpose; nothing is judged by it.
NOT_ASKED = Unknown("not asked for")


@dataclass(frozen=True)
class HostFacts:
    """What is so on a host, what is meant to be, and how it was reached. host: its name, or ``local``."""

    host: str
    wanted: Wanted = field(default_factory=Wanted)
    reach: Reach = field(default_factory=Reach)
    controller: Controller | Unknown = NOT_ASKED
    system: System | Unknown = NOT_ASKED
    nvidia: Nvidia | Unknown = NOT_ASKED
    driver: Driver | Unknown = NOT_ASKED
    conda: Conda | Unknown = NOT_ASKED
    env: Env | Unknown = NOT_ASKED
    kernel: Kernel | Unknown = NOT_ASKED
    token: Token | Unknown = NOT_ASKED
    hub: Hub | Unknown = NOT_ASKED
    access: Access | Unknown = NOT_ASKED
    cache: Cache | Unknown = NOT_ASKED
    runtime: Runtime | Unknown = NOT_ASKED
