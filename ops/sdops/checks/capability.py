"""Compute capabilities by GPU names, for outputs that do not tell them. No I/O here."""

import re

#: Compute capabilities and product names, as NVIDIA lists them (https://developer.nvidia.com/cuda-gpus and
#: cuda-legacy-gpus). Names are looked for as whole words; a share of a GPU has its profile after the name.
NAMES: tuple[tuple[str, str], ...] = (
    ("12.0", r"RTX 50[5-9]0( Ti| D)?|RTX PRO [2-6][05]00|B40"),
    ("10.3", r"G?B300"),
    ("10.0", r"G?B200|B100"),
    ("9.0", r"H100\w?|H200\w?|H800|H20|GH200"),
    (
        "8.9",
        r"L4|L40S?|L20|L2|RTX 40[5-9]0( Ti)?( SUPER)?|RTX [2456]000 ?-?Ada|RTX [245][05]00 Ada|RTX ?6000-Ada",
    ),
    ("8.6", r"A40|A10[MG]?|A16|A2|RTX ?A[2-6]\d{3}|RTX 30[5-9]0( Ti)?"),
    ("8.0", r"A100\w?|A30|A800|PG506-\d+"),
    (
        "7.5",
        r"T4G?|T[46]00|T1000|T1200|T2000|TITAN RTX|RTX 20[6-8]0( Ti)?( SUPER)?|Quadro RTX [3-8]000|RTX[68]000"
        r"|GTX 16[5-6]0( Ti)?( SUPER)?",
    ),
    ("7.0", r"V100\w?|TITAN V|GV100|Quadro GV100"),
    ("6.1", r"P4|P40|P6|TITAN Xp?|GTX 10[5-8]0( Ti)?|GT 1030|Quadro P\d{3,4}"),
    ("6.0", r"P100|GP100"),
    ("5.2", r"M60|M40|M10|M6|GTX 9[5-8]0( Ti)?|Quadro M[456]000"),
    ("5.0", r"GTX 750( Ti)?"),
    ("3.7", r"K80"),
    ("3.5", r"K40\w?|K20\w?"),
)

_COMPILED = tuple(
    (number, re.compile(rf"(?<![\w-])(?:{words})(?!\w)", re.IGNORECASE)) for number, words in NAMES
)


def by_name(name: str) -> str | None:
    """The compute capability of a product, such as "8.0"; None for names cut off or not in the list."""
    if name.endswith("..."):
        return None
    found = {number for number, words in _COMPILED if words.search(name)}
    return found.pop() if len(found) == 1 else None
