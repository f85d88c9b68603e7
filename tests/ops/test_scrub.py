"""What is taken out of a report: secrets in every form, addresses, names; and what is left as it is."""

import base64
from urllib.parse import quote

import pytest
from sdops.scrub import Scrub

CANARY = "hf_canaryCanaryCanaryCanaryCanary00"


@pytest.mark.parametrize("form", ["plain", "url", "base64", "json", "header", "command line"])
@pytest.mark.parametrize("known", [True, False])
def test_a_secret_is_taken_out_in_every_form(form, known):
    secret = "p@ss/word+1=?" if known else CANARY
    texts = {
        "plain": f"token {secret}.",
        "url": f"https://me:{secret}@example.com/x?token={quote(secret, safe='')}",
        "base64": "Basic " + base64.b64encode(f"me:{secret}".encode()).decode() if known else f"x={secret}",
        "json": f'{{"token": "{secret}"}}',
        "header": f"Authorization: Bearer {secret}",
        "command line": f"--token={secret}",
    }
    scrub = Scrub([secret] if known else [])
    cleaned = scrub.clean(texts[form])
    assert secret not in cleaned
    assert quote(secret, safe="") not in cleaned
    assert base64.b64encode(secret.encode()).decode()[:-4] not in cleaned
    assert "canary" not in cleaned.lower()
    assert scrub.taken["secret"]


def test_the_same_thing_gets_the_same_word_and_others_get_others():
    names = [("gpu1", "<host-1>"), ("gpu10", "<host-2>"), ("/home/jane", "~"), ("jane", "<user>")]
    scrub = Scrub(names=names)
    text = "gpu1 at 203.0.113.10, gpu10 at 2001:db8::7, then 203.0.113.10; /home/jane/x by jane, not janet"
    assert scrub.clean(text) == (
        "<host-1> at <address-1>, <host-2> at <address-2>, then <address-1>; ~/x by <user>, not janet"
    )
    assert scrub.clean("holiday.JPG of jane@example.com, twice holiday.JPG") == (
        "<picture-1> of <mail-1>, twice <picture-1>"
    )
    assert dict(scrub.taken) == {"host": 2, "address": 3, "home": 1, "user": 1, "picture": 2, "mail": 1}


@pytest.mark.parametrize(
    "text",
    [
        "driver 535.129.03, Python 3.99.1+local, 12:34:56, 2026-11-23T12:34:56.789",
        "127.0.0.1 and ::1 are everybody's; 999.1.1.1 is no address",
        "sdops runs as root on localhost; a_b::c::d; std::string",
        "00000000:3B:00.0 is where the GPU is",
    ],
)
def test_what_everybody_may_know_is_left(text):
    assert Scrub(names=[("root", "<user>"), ("sdops", "<user>")]).clean(text) == text


def test_a_private_key_is_taken_out_whole_even_if_it_is_cut_off():
    key = "-----BEGIN OPENSSH PRIVATE KEY-----\nb3BlbnNzaC1rZXk\nAAAA"
    for text in (f"a\n{key}\n-----END OPENSSH PRIVATE KEY-----\nb", f"a\n{key}"):
        cleaned = Scrub().clean(text)
        assert "b3Blb" not in cleaned
        assert cleaned.startswith("a\n<secret>")
