"""Faults of a host, its hub and its runtime that have others in their train: one cause, one error."""

from dataclasses import replace
from pathlib import Path

import pytest
import yaml
from sdops.checks import hub, room, runtime, system
from sdops.checks.finding import Status
from sdops.checks.judge import judge
from sdops.facts.access import Access
from sdops.facts.cache import Cache
from sdops.facts.host import NOT_ASKED, HostFacts
from sdops.facts.hub import Hub
from sdops.facts.runtime import Queue, Service
from sdops.facts.token import Token
from sdops.facts.unknown import Unknown

from . import cases_hub, cases_runtime, cases_system
from .cases_hub import access, token
from .cases_runtime import runtime as of_runtime
from .cases_runtime import service
from .cases_system import NOW, account, disks
from .cases_system import system as of_system
from .healthy import healthy

ROLES = Path(__file__).parents[3] / "ansible" / "roles"
CHECKS = (*system.CHECKS, *hub.CHECKS, *runtime.CHECKS)
HEALTHY = healthy(cases_system, cases_hub, cases_runtime)
FAILED = Service("loaded", "failed", "failed", "exit-code", 4, 0)


def found(facts):
    return [result.check for result in judge(facts, CHECKS) if result.finding]


def together(*changes):
    """All the changes, one after the other."""
    facts = HEALTHY
    for change in changes:
        facts = change(facts)
    return facts


@pytest.mark.parametrize(
    ("facts", "cause"),
    [
        pytest.param(
            together(account(linger=False), of_runtime(manager=False, service=None, current=None)),
            "linger",
            id="no-linger",
        ),
        pytest.param(
            together(disks(free_mib=0), service(status="Waiting: The disk is full.")), "disk-full", id="disk"
        ),
        pytest.param(
            together(disks(free_mib=0), of_runtime(service=FAILED)), "disk-full", id="disk-and-dead"
        ),
        pytest.param(together(of_runtime(launcher="none", service=FAILED)), "launcher", id="launcher"),
        pytest.param(
            together(
                of_system(account=None, env_there=False, disks=HEALTHY.system.disks[:1] * 5),
                lambda facts: replace(
                    facts,
                    token=Unknown("there is no account sdops"),
                    access=Unknown("there is no account sdops"),
                    runtime=Unknown("there is no account sdops"),
                ),
            ),
            "account",
            id="a-fresh-host",
        ),
        pytest.param(
            together(token(own=False, owner="root"), token(form="hidden")), "token-owner", id="token"
        ),
        pytest.param(
            together(of_system(clock_utc=NOW - 9e6), access("hub-failed", problem="tls", status=None)),
            "clock",
            id="clock-and-certificates",
        ),
        pytest.param(
            together(access("hub-offline", problem="timeout", status=None), token(there=False)),
            "hub-connection",
            id="hub-away",
        ),
    ],
)
def test_what_follows_from_it_is_skipped(facts, cause):
    assert found(facts) == [cause]


def test_a_model_on_the_disk_makes_an_unreachable_hub_a_warning():
    facts = replace(HEALTHY, hub=Hub("curl", "dns", "no such name"))
    (result,) = (result for result in judge(facts, CHECKS) if result.finding)
    assert (result.check, result.status) == ("hub-offline", Status.WARNING)


def test_a_model_that_was_never_downloaded_is_no_fault():
    assert found(cases_hub.absent(HEALTHY)) == []


def test_a_download_that_is_under_way_is_no_fault():
    partial = cases_hub.CASES["model-partial"](HEALTHY)
    assert found(service(status="Making pictures of job 20260101-000000-aaaa")(partial)) == []


def test_no_token_is_needed_for_an_open_model():
    facts = token(there=False, form="", mode=0)(cases_hub.absent(HEALTHY))
    assert found(replace(facts, access=Access())) == []


@pytest.mark.parametrize("model", ["demo", "/srv/model", "~/model"])
def test_a_model_that_is_no_hubs_needs_no_hub(model):
    facts = replace(
        HEALTHY,
        wanted=replace(HEALTHY.wanted, model=model),
        cache=Cache("folder", model, there=True, complete=True),
        hub=Hub("curl", "dns", "no such name"),
    )
    assert found(facts) == []


def test_this_machine_needs_no_account_and_no_service():
    facts = together(of_runtime(archive="", receipt=None, manager=False, unit=False, service=None))
    facts = together(lambda _: facts, of_system(python="", tmux=False, sftp=False, release_id="arch"))
    facts = replace(facts, host="local", wanted=replace(facts.wanted, playbook=()))
    assert found(account(linger=False, keys=0)(facts)) == []


def test_what_is_unknown_is_no_error_and_not_passed_over():
    nothing = Unknown("no answer within 20 s")
    names = ("system", "token", "hub", "access", "cache", "runtime")
    facts = replace(HEALTHY, **dict.fromkeys(names, nothing))
    results = judge(facts, CHECKS)
    assert {result.status for result in results} <= {Status.UNKNOWN, Status.SKIPPED}
    assert {result.because for result in results if result.status is Status.UNKNOWN} == {nothing.reason}


def test_a_field_that_is_unknown_makes_no_finding():
    for name in ("system", "token", "cache", "runtime"):
        record = getattr(HEALTHY, name)
        for field in record.__dataclass_fields__:
            changed = replace(HEALTHY, **{name: replace(record, **{field: Unknown("nobody knows")})})
            assert found(changed) == [], (name, field)


def test_what_was_not_asked_has_no_result():
    facts = HostFacts("gpu1", HEALTHY.wanted, HEALTHY.reach)
    assert judge(facts, CHECKS) == ()
    quick = replace(cases_hub.absent(HEALTHY), access=NOT_ASKED)
    assert "licence" not in [result.check for result in judge(quick, CHECKS)]


@pytest.mark.parametrize("change", [*cases_hub.CASES.values()])
def test_no_finding_tells_where_a_token_is_read_from_twice(change):
    """Every command is one line, and a token is in none of them."""
    for result in judge(change(HEALTHY), CHECKS):
        for command in result.finding.commands if result.finding else ():
            assert "\n" not in command
            assert "hf_" not in command


def test_a_place_of_its_own_for_the_token_is_mended_by_hand():
    facts = token(path="/srv/the hub/token", mode=0o640)(HEALTHY)
    (result,) = (result for result in judge(facts, CHECKS) if result.finding)
    assert result.finding.commands == (
        "ssh root@203.0.113.10 'chown sdops: '\"'\"'/srv/the hub/token'\"'\"' && "
        "chmod 600 '\"'\"'/srv/the hub/token'\"'\"''",
    )


def test_a_queue_of_somebody_else_names_the_owner():
    facts = of_runtime(queue=Queue(own=False, owner="root"))(HEALTHY)
    (result,) = (result for result in judge(facts, CHECKS) if result.finding)
    assert result.finding.summary == "The queue belongs to root, not to sdops."


def test_an_empty_token_file_is_no_token():
    facts = token(form="empty")(access("token-missing", status=401, error_code="GatedRepo")(HEALTHY))
    assert found(facts) == ["token-missing"]
    assert isinstance(facts.token, Token)


def test_the_numbers_are_those_of_the_playbook():
    defaults = yaml.safe_load((ROLES / "preflight/defaults/main.yml").read_text())
    variables = yaml.safe_load((ROLES / "preflight/vars/main.yml").read_text())
    assert defaults["preflight_disk_stack_mb"] == room.STACK_MB
    assert defaults["preflight_disk_model_mb"] == room.MODEL_MB
    assert defaults["preflight_memory_mb"] == room.MEMORY_MB
    assert variables["__preflight_releases"] == {name: list(which) for name, which in system.RELEASES.items()}
