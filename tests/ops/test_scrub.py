"""What is taken out of a report: secrets in every form, addresses, names; and what is left as it is."""

import base64
import json
import shlex
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


@pytest.mark.parametrize(
    ("text", "cleaned"),
    [
        ("tls://10.0.0.5:8786", "tls://<address-1>:8786"),
        ("203.0.113.10:22", "<address-1>:22"),
        ("http://10.1.2.3:3128/", "http://<address-1>:3128/"),
        ("from 10.1.2.3.", "from <address-1>."),
        ("10.0.0.0/24, 10.0.0.5-10.0.0.9", "<address-1>/24, <address-2>-<address-3>"),
        ("[2001:db8::7]:22 2001:db8::7", "[<address-1>]:22 <address-1>"),
        ("tls://[fd00::5]:8786.", "tls://[<address-1>]:8786."),
        ("fe80::1%eth0: down", "<address-1>%eth0: down"),
        ("::ffff:10.0.0.5 and 10.0.0.5", "<address-1> and <address-2>"),
        ("10.0.0.5.nip.io", "<address-1>.nip.io"),
        ("ip-10-0-0-5.internal", "<address-1>.internal"),
        ("link/ether 52:54:00:12:34:56 brd", "link/ether <mac-1> brd"),
        ("at 52-54-00-12-34-56", "at <mac-1>"),
        ("bob@desk: ready", "<account-1>: ready"),
        ("root@desk, bob@10.0.0.5", "<account-1>, <user-1>@<address-1>"),
        ("ssh root@203.0.113.10 true", "ssh root@<address-1> true"),
        ("a.heif, b.HEIC, c.jfif", "<picture-1>, <picture-2>, <picture-3>"),
    ],
)
def test_addresses_and_names_are_taken_out_whatever_stands_around_them(text, cleaned):
    assert Scrub().clean(text) == cleaned


@pytest.mark.parametrize(
    "text",
    [
        "535.129.03, program 1.22.1, 12.4.1, 1.22.1+cu116, py3.9_cuda11.6_cudnn8.3.2_0",
        "nvidia-cudnn-cu11==8.5.0.96, cuDNN 8.9.2.26, driver 470.82.1.2, version: 10.2.89.0",
        "user@1000.service, getty@tty1.service, program@2.0.1, root@localhost",
        "--vault-password-file .vault-password --token-file=x --tags hub_token -l all, --no-token Store none",
        '{"password": null, "token": {"there": true}, "secret": [], "tokens": 77}',
        "ansible_become_pass is not set; bypass: yes; compass=north; passed: 3; password=<secret>",
        "key: value, monkey: x, keyboard=de; passages: 4",
    ],
)
def test_what_only_looks_private_is_left(text):
    assert Scrub().clean(text) == text


@pytest.mark.parametrize(
    "text",
    [
        '"password": "{}"',
        "password: {}",
        "'passwd': '{}'",
        "--token {}",
        "--password={}",
        '["--token", "{}"]',
        "ANSIBLE_BECOME_PASS={}",
        "hub_token_value={}",
        "hub_token_value: {}",
        "hub_token_value = '{}'",
        '{{\\"api_key\\": \\"{}\\"}}',
        "sshpass -p {} ssh desk",
        "sshpass -p{} ssh desk",
        "https://cdn.example.com/x?X-Amz-Signature={}&y=1",
        "Authorization: Basic {}",
        "PGPASSWORD='{}'",
    ],
)
@pytest.mark.parametrize("secret", ["hunter2", "x", "pa.ss/wo+rd-1"])
def test_an_unknown_secret_is_taken_out_by_what_it_is_called(text, secret):
    scrub = Scrub()
    assert scrub.clean(text.format(secret)) == text.format("<secret>")
    assert scrub.taken["secret"] == 1


def test_a_quoted_secret_goes_whole_with_the_quotes_that_are_in_it():
    assert Scrub().clean('password="a b\\"c", x=1') == 'password="<secret>", x=1'
    assert Scrub().clean("password='a b', x=1") == "password='<secret>', x=1"


@pytest.mark.parametrize("secret", ['a"b\\c"d\\e', "it's a 'secret'", "line\tbreak\u00e9"])
def test_a_known_secret_is_found_however_it_is_escaped(secret):
    once = json.dumps({"x": secret})
    texts = [secret, once, json.dumps(once), json.dumps(secret, ensure_ascii=False)]
    texts += [repr(secret), shlex.quote(secret), json.dumps(shlex.quote(secret))]
    for text in texts:
        cleaned = Scrub([secret]).clean(text)
        assert "<secret>" in cleaned
        assert not any(piece in cleaned for piece in ("b", "secret'", "line", "break")), cleaned


def test_a_short_known_secret_goes_where_it_is_a_word():
    scrub = Scrub(["hunter2", "True", "22", ""])
    assert scrub.clean("hunter2, xhunter2x, True, 22") == "<secret>, xhunter2x, True, 22"


def test_data_stays_data():
    data = {
        "host": "gpu1",
        "password": 'a"b',
        "hub_token_value": 1234,
        "token": None,
        "tokens": 77,
        "at": ["10.0.0.5", {"10.0.0.5": 'say "a\\b"'}],
        "nvidia-cudnn-cu11": "8.5.0.96",
        "ok": True,
    }
    scrub = Scrub(['a\\b"'], [("gpu1", "<host-1>")])
    assert scrub.clean_data(data) == {
        "host": "<host-1>",
        "password": "<secret>",
        "hub_token_value": "<secret>",
        "token": None,
        "tokens": 77,
        "at": ["<address-1>", {"<address-1>": 'say "<secret>'}],
        "nvidia-cudnn-cu11": "8.5.0.96",
        "ok": True,
    }
    assert scrub.taken["secret"] == 3
