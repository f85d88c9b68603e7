"""Facts that trigger the checks of the topic ``conda``, one by one."""

from dataclasses import replace

from sdops.facts.conda import Conda, Settings

PLACE = "/home/sdops/miniconda3-py39"

HEALTHY = {
    "conda": Conda(
        place=PLACE,
        program=True,
        complete=True,
        owner="sdops",
        version="25.9.1",
        asks_terms=True,
        settings=(Settings(f"{PLACE}/.condarc", ("pytorch", "conda-forge")),),
        shells=(".profile", ".bashrc"),
    )
}


def conda(**fields):
    return lambda facts: replace(facts, conda=replace(facts.conda, **fields))


CASES = {
    "conda-missing": conda(program=False, place="", owner="", complete=False),
    "conda-broken": conda(complete=False),
    "conda-owner": conda(owner="root"),
    "conda-terms": conda(settings=(Settings("/home/sdops/.condarc", ("defaults",)),)),
    "conda-shell": conda(shells=()),
}
