"""The roles' own modules for Ansible, loaded into the tests' Python.

Ansible's side of them is tried on hosts. Here it would replace sys.intern for good, which torch does not
bear: whatever imported torch later in the same Python would fail.
"""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import pytest

ROLES = Path(__file__).parents[2] / "ansible" / "roles"


def load(role: str, name: str) -> ModuleType:
    """The functions of a role's module, with a stand-in in the place of Ansible's."""
    with pytest.MonkeyPatch.context() as patch:
        for package in ("ansible", "ansible.module_utils", "ansible.module_utils.basic"):
            patch.setitem(sys.modules, package, ModuleType(package))
        sys.modules["ansible.module_utils.basic"].AnsibleModule = object  # type: ignore[attr-defined]
        spec = importlib.util.spec_from_file_location(name, ROLES / role / "library" / f"{name}.py")
        assert spec
        assert spec.loader
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
    return module
