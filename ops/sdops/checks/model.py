"""Checks of the topic ``hub`` about the model on the host's disk. No I/O here."""

from sdops.checks.finding import Check, Finding, Severity
from sdops.checks.remedy import playbook, there
from sdops.checks.room import amount
from sdops.checks.sure import sure, unless_unknown
from sdops.facts.host import HostFacts
from sdops.facts.runtime import Runtime, Service


@unless_unknown
def _foreign(facts: HostFacts) -> Finding | None:
    cache = sure(facts.cache)
    if not cache.foreign:
        return None
    user = facts.wanted.user
    return Finding(
        f"Folders of the hub's cache do not belong to {user}.",
        "The worker cannot store a model there.",
        cache.foreign,
        "Something was run as root there, or copied. Make them the account's own.",
        (there(facts, f"chown -R {user}: {cache.foreign[0]}"),),
    )


@unless_unknown
def _folder(facts: HostFacts) -> Finding | None:
    cache = sure(facts.cache)
    if cache.kind != "folder" or sure(cache.complete):
        return None
    what = "lacks a part of a pipeline" if sure(cache.there) else "is not there"
    return Finding(
        f"The model's folder {what}: {cache.path}.",
        "Every job with it fails.",
        cache.missing[:5] or (f"{cache.path} {what}",),
        "Copy it there from where it is whole, in diffusers' layout, or set sdops_model to another.",
    )


@unless_unknown
def _partial(facts: HostFacts) -> Finding | None:
    cache = sure(facts.cache)
    if cache.kind != "hub" or not sure(cache.there) or sure(cache.complete):
        return None
    if not cache.commit and not cache.size_mib:
        return None
    service = facts.runtime.service if isinstance(facts.runtime, Runtime) else None
    if isinstance(service, Service) and service.busy:
        return None
    rest = "" if cache.needed_mib is None else f" {amount(cache.needed_mib)} are still to come."
    return Finding(
        f"Only a part of the model {facts.wanted.model} is on the disk.{rest}",
        "The next job downloads the rest before it begins.",
        tuple(f"missing: {path}" for path in cache.missing[-5:]) or (f"{cache.path}",),
        "Nothing needs to be done, or have it downloaded now.",
        tuple(f"{command} -e runtime_prefetch=true" for command in playbook(facts, "runtime")),
    )


CHECKS: tuple[Check, ...] = (
    Check(
        "cache-foreign",
        "hub",
        "the cache is the account's own",
        Severity.ERROR,
        _foreign,
        "A model was downloaded or copied as root.",
        "Give the folder to the account.",
        needs=("account",),
    ),
    Check(
        "model-folder",
        "hub",
        "the model's folder is whole",
        Severity.ERROR,
        _folder,
        "`sdops_model` names a folder, which is not there or lacks files that a pipeline is loaded from.",
        "Copy it again, or name another model.",
        needs=("account",),
    ),
    Check(
        "model-partial",
        "hub",
        "the model is whole",
        Severity.WARNING,
        _partial,
        "A download was interrupted. What has arrived is kept, and the next one goes on there.",
        "The next job brings the rest, or the tag `runtime` with `-e runtime_prefetch=true` does.",
        needs=("cache-foreign", "disk-full", "hub-answer"),
    ),
)
