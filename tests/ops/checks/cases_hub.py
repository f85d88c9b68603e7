"""Facts that trigger the checks of the topic ``hub``, one by one."""

from dataclasses import replace

from sdops.facts.access import Access
from sdops.facts.cache import Cache
from sdops.facts.hub import Hub
from sdops.facts.token import Token

PLACE = "/home/sdops/.cache/huggingface"
COMMIT = "2880f2ca379f41b0226444936bb7a6766a227587"

HEALTHY = {
    "token": Token(
        f"{PLACE}/token",
        there=True,
        owner="sdops",
        own=True,
        mode=0o600,
        form="good",
        folder_own=True,
        folder_mode=0o700,
    ),
    "hub": Hub("curl", status=307, genuine=True),
    "access": Access(token="~/.cache/huggingface/token"),
    "cache": Cache(
        "hub",
        f"{PLACE}/hub/models--CompVis--stable-diffusion-v1-4",
        there=True,
        complete=True,
        commit=COMMIT,
        size_mib=2_614,
        needed_mib=0,
    ),
}


def token(**fields):
    return lambda facts: replace(facts, token=replace(facts.token, **fields))


def absent(facts):
    """Nothing of the model is there: the first job will bring it, which is no fault."""
    return replace(facts, cache=Cache("hub", facts.cache.path, there=False, complete=False))


def hub(**fields):
    """The hub says so, and the model is wanted of it."""
    return lambda facts: replace(absent(facts), hub=replace(facts.hub, **fields))


def access(code, **fields):
    return lambda facts: replace(hub(**fields)(facts), access=Access(code, "In the runtime's words."))


CASES = {
    "hub-dns": hub(problem="dns", said="curl: (6) Could not resolve host: huggingface.co", status=None),
    "hub-tls": hub(problem="tls", said="curl: (60) SSL certificate problem: certificate is not yet valid"),
    "hub-connection": hub(problem="refused", said="curl: (7) Connection refused", status=None),
    "hub-answer": hub(status=200, genuine=False),
    "hub-offline": lambda facts: replace(facts, hub=Hub("curl", "timeout", "curl: (28) Timeout")),
    "token-owner": token(own=False, owner="root"),
    "token-open": token(mode=0o644),
    "token-form": token(form="quoted"),
    "token-missing": lambda facts: token(there=False)(
        hub(status=401, error_code="GatedRepo")(replace(facts, access=Access("token-missing")))
    ),
    "token-refused": access("token-refused", status=401, error_code="GatedRepo"),
    "licence": access("licence-not-accepted", status=401, error_code="GatedRepo"),
    "model-unknown": access("model-unknown", status=401, error_code="RepoNotFound"),
    "revision-unknown": hub(status=404, error_code="RevisionNotFound"),
    "hub-environment": access("hub-offline"),
    "cache-foreign": lambda facts: replace(facts, cache=replace(facts.cache, foreign=(f"{PLACE}/hub",))),
    "model-folder": lambda facts: replace(
        facts,
        wanted=replace(facts.wanted, model="/srv/model"),
        cache=Cache("folder", "/srv/model", there=False, complete=False),
    ),
    "model-partial": lambda facts: replace(
        facts,
        cache=replace(
            facts.cache, complete=False, missing=("unet/diffusion_pytorch_model.bin",), needed_mib=1_200
        ),
    ),
}
