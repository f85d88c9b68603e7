"""Fills the extra ``local`` from the stack manifest while the package is built: no version stands twice."""

import json
from pathlib import Path
from typing import Any

from hatchling.metadata.plugin.interface import MetadataHookInterface

#: The stack for a person's own machine: the one for the newest Python and libraries.
LOCAL = "cu130"


class ExtrasHook(MetadataHookInterface):
    """Read by hatchling."""

    def update(self, metadata: dict[str, Any]) -> None:
        """Sets ``optional-dependencies``."""
        manifest = json.loads((Path(self.root) / "runtime" / "sdops_runtime" / "stack.json").read_text())
        pins = manifest["stacks"][LOCAL]["pip"]["pins"]
        metadata["optional-dependencies"] = {"local": [f"{pin['name']}=={pin['version']}" for pin in pins]}
