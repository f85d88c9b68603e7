"""Every check has an id of its own and facts that trigger it, and says nothing where nothing is wrong."""

import pytest
from sdops.checks.finding import Status
from sdops.checks.judge import judge
from sdops.checks.registry import CHECKS

from . import (
    cases_conda,
    cases_driver,
    cases_env,
    cases_gpu,
    cases_hub,
    cases_kernel,
    cases_reach,
    cases_runtime,
    cases_system,
)
from .healthy import healthy

MODULES = (
    cases_reach,
    cases_system,
    cases_driver,
    cases_gpu,
    cases_conda,
    cases_env,
    cases_kernel,
    cases_hub,
    cases_runtime,
)
HEALTHY = healthy(*MODULES)
CASES = {name: change for module in MODULES for name, change in module.CASES.items()}


def test_a_healthy_host_passes_every_check():
    assert [result for result in judge(HEALTHY) if result.status is not Status.OK] == []


def test_every_check_has_a_case_and_every_case_a_check():
    ids = [check.id for check in CHECKS]
    assert sorted(ids) == sorted(CASES)
    assert len(ids) == len(set(ids))


@pytest.mark.parametrize("name", CASES)
def test_the_cause_is_the_first_and_only_thing_found(name):
    found = [result.check for result in judge(CASES[name](HEALTHY)) if result.finding]
    assert found == [name]


@pytest.mark.parametrize("name", CASES)
def test_a_finding_says_what_why_and_what_to_do(name):
    (finding,) = (result.finding for result in judge(CASES[name](HEALTHY)) if result.finding)
    assert finding.summary and finding.effect and finding.remedy
    assert finding.summary[-1] in ".?" and finding.effect[-1] == "." and finding.remedy[-1] == "."


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.id)
def test_what_a_check_needs_comes_before_it(check):
    before = CHECKS[: CHECKS.index(check)]
    known = {one.id for one in before} | {one.topic for one in before}
    assert set(check.needs) <= known
