"""Facts that trigger the checks of the topic ``env``, one by one."""

import re
from dataclasses import replace

from sdops.facts.env import Env, Receipt, normal
from sdops_runtime import stack

GUIDE = stack.load("guide")
FOLDER = "/home/sdops/.conda/envs/env1-guide-0123abcd"
LIBRARY = "/home/sdops/.conda/envs/env1/lib"
LOCKED = {
    normal(name): (version,)
    for name, version in re.findall(r"^([A-Za-z0-9._-]+)==(\S+)", GUIDE.lock_text(), re.MULTILINE)
}
PINNED = {pin.name.lower(): (pin.version.lstrip("<").replace("2024.1", "2023.2"),) for pin in GUIDE.conda}

#: Later than all that is known to work.
NEXT = "3.0.0"

HEALTHY = {
    "env": Env(
        kind="link",
        folder=FOLDER,
        receipt=Receipt("guide", torch_by_pip=False),
        history=True,
        python=GUIDE.python,
        conda=PINNED,
        builds={"pytorch": "py3.9_cuda11.6_cudnn8.3.2_0"},
        pip={**LOCKED, "torch": (GUIDE.pin("torch"),)},
        cuda=GUIDE.cuda,
        hook=True,
        unhook=True,
        setters=("env_vars.sh",),
        path=(LIBRARY,),
        path_twice=(LIBRARY,),
    )
}


def env(**fields):
    return lambda facts: replace(facts, env=replace(facts.env, **fields))


def pip(**versions):
    """Other versions of packages; None removes one."""

    def change(facts):
        installed = {**facts.env.pip, **{normal(name): (text,) for name, text in versions.items() if text}}
        for name, text in versions.items():
            if text is None:
                del installed[normal(name)]
        return env(pip=installed)(facts)

    return change


CASES = {
    "env-missing": env(kind="link", folder=""),
    "env-foreign": env(kind="folder", receipt=None),
    "env-incomplete": env(receipt=None),
    "stack-other": env(receipt=Receipt("cu124", torch_by_pip=False)),
    "python-version": env(python="3.10"),
    "mkl-too-new": lambda facts: env(conda={**facts.env.conda, "mkl": ("2024.2.2",)})(facts),
    "numpy-too-new": pip(numpy=NEXT),
    "hub-library-too-new": pip(huggingface_hub=NEXT),
    "torch-without-cuda": env(cuda=""),
    "torch-other-cuda": env(cuda="10.2"),
    "accelerate-missing": pip(accelerate=None),
    "env-drift": pip(requests="9.9.9"),
    "hook-missing": env(path=(), path_twice=()),
    "hook-doubled": env(path_twice=(LIBRARY, LIBRARY)),
    "libcuda-shadowed": env(stubs=(f"{FOLDER}/lib/libcuda.so",)),
    "user-packages": env(own=("numpy",)),
}
