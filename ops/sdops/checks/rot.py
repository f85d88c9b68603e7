"""Checks of the topic ``env`` by what goes bad in such environments, each by its name. No I/O here.

conda's and pip's newest packages do not fit the guide's, and whoever installs
something more there brings them in. Which version is the first to break stands
in the stack manifest.
"""

from sdops_runtime import stack

from sdops.checks.finding import Check, Finding, Severity
from sdops.checks.numbers import numbers
from sdops.checks.remedy import rebuild
from sdops.checks.sure import sure, unless_unknown
from sdops.facts.env import Env
from sdops.facts.host import HostFacts

#: Rots come after what says that there is an environment at all.
NEEDS = ("env-incomplete", "stack-other", "python-version")


def _pin(facts: HostFacts, name: str) -> stack.Pin | None:
    wanted = stack.load(facts.wanted.stack)
    return next((pin for pin in (*wanted.pip, *wanted.conda) if pin.name.lower() == name), None)


def _from_pip(facts: HostFacts) -> bool:
    """Whether torch is meant to come by pip, built for no GPU."""
    receipt = sure(facts.env).receipt
    return facts.wanted.torch_by_pip or bool(receipt and receipt.torch_by_pip)


def _broken(facts: HostFacts, name: str) -> tuple[str, stack.Pin] | None:
    """The installed version of a package, if it is one that is known to break, and the pin that says so."""
    version, pin = sure(facts.env).version(name), _pin(facts, name)
    if version is None or pin is None or not pin.breaks or numbers(version) < numbers(pin.breaks):
        return None
    return version, pin


def _finding(facts: HostFacts, summary: str, effect: str, evidence: str) -> Finding:
    return Finding(
        summary, effect, (evidence,), "Build the environment anew, from the stack's lock.", rebuild(facts)
    )


@unless_unknown
def _mkl(facts: HostFacts) -> Finding | None:
    env, pin = sure(facts.env), _pin(facts, "mkl")
    version = env.conda.get("mkl")
    if not version or pin is None or not pin.version.startswith("<") or _from_pip(facts):
        return None
    if numbers(version[-1]) < numbers(pin.version):
        return None
    return _finding(
        facts,
        f"mkl {version[-1]} is too new for the stack's torch.",
        "import torch fails: undefined symbol: iJIT_NotifyEvent.",
        f"conda: mkl {version[-1]}; the stack asks for mkl{pin.version}",
    )


@unless_unknown
def _numpy(facts: HostFacts) -> Finding | None:
    found = _broken(facts, "numpy")
    if found is None:
        return None
    version, pin = found
    return _finding(
        facts,
        f"numpy {version} is too new for the stack's torch.",
        'torch says "Numpy is not available", and no picture comes out.',
        f"numpy {version}; the stack has {pin.version}",
    )


@unless_unknown
def _hub(facts: HostFacts) -> Finding | None:
    found = _broken(facts, "huggingface-hub")
    if found is None:
        return None
    version, pin = found
    return _finding(
        facts,
        f"huggingface_hub {version} is too new for the stack's diffusers.",
        "import diffusers fails: cannot import name 'cached_download'.",
        f"huggingface-hub {version}; the stack has {pin.version}",
    )


@unless_unknown
def _cpu_build(facts: HostFacts) -> Finding | None:
    if not facts.wanted.expect_gpu or _from_pip(facts) or sure(sure(facts.env).cuda):
        return None
    return _finding(
        facts,
        "torch is a build without CUDA.",
        "Pictures are made on the processor, each in many minutes.",
        _told(sure(facts.env)),
    )


@unless_unknown
def _other_cuda(facts: HostFacts) -> Finding | None:
    env, wanted = sure(facts.env), stack.load(facts.wanted.stack)
    if not facts.wanted.expect_gpu or _from_pip(facts):
        return None
    cuda = sure(env.cuda)
    if cuda in ("", wanted.cuda):
        return None
    return _finding(
        facts,
        f"torch is built for CUDA {cuda}, and the stack's for {wanted.cuda}.",
        "It may have no kernels for the GPU: PyPI's wheel of the guide's torch knows no A100.",
        _told(env),
    )


@unless_unknown
def _accelerate(facts: HostFacts) -> Finding | None:
    if _pin(facts, "accelerate") is None or sure(facts.env).version("accelerate"):
        return None
    return _finding(
        facts,
        "accelerate is not installed.",
        "Loading the model takes ten times as long, and twice the memory.",
        "no accelerate among pip's packages",
    )


def _told(env: Env) -> str:
    build = env.builds.get("pytorch", "")
    return f"torch {env.version('torch') or env.version('pytorch')}{f', build {build}' if build else ''}"


CHECKS: tuple[Check, ...] = (
    Check(
        "mkl-too-new",
        "env",
        "mkl is one that the stack's torch loads with",
        Severity.ERROR,
        _mkl,
        "conda was asked to install or update something, and brought the newest mkl.",
        "Build the environment anew. The playbook asks for the right mkl in the same breath.",
        needs=NEEDS,
    ),
    Check(
        "numpy-too-new",
        "env",
        "numpy is one that the stack's torch was built against",
        Severity.ERROR,
        _numpy,
        "pip was asked to install something, and brought the newest numpy.",
        "Build the environment anew. Install things of your own into another one.",
        needs=NEEDS,
    ),
    Check(
        "hub-library-too-new",
        "env",
        "huggingface_hub is one that the stack's diffusers loads with",
        Severity.ERROR,
        _hub,
        "pip was asked to install or upgrade something, and brought the newest huggingface_hub.",
        "Build the environment anew. Install things of your own into another one.",
        needs=NEEDS,
    ),
    Check(
        "torch-without-cuda",
        "env",
        "torch is a build with CUDA",
        Severity.ERROR,
        _cpu_build,
        "conda's solver took the build for processors, or pip replaced conda's torch.",
        "Build the environment anew. The playbook names the build.",
        needs=NEEDS,
    ),
    Check(
        "torch-other-cuda",
        "env",
        "torch is built for the stack's CUDA",
        Severity.ERROR,
        _other_cuda,
        "pip replaced conda's torch by PyPI's wheel, which is built for another CUDA.",
        "Build the environment anew.",
        needs=("torch-without-cuda",),
    ),
    Check(
        "accelerate-missing",
        "env",
        "accelerate is installed",
        Severity.ERROR,
        _accelerate,
        "The libraries work without it, and so nobody installs it. It was removed, or never there.",
        "Build the environment anew.",
        needs=NEEDS,
    ),
)
