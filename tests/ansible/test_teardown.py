"""teardown.yml on real hosts: what site.yml made is gone, what it found there stays."""

import pytest
from doubles import env
from plays import ANSIBLE, Plays

pytestmark = [
    pytest.mark.hosts,
    pytest.mark.skipif(
        not (ANSIBLE / "roles" / "service_user").is_dir(), reason="the role service_user is not there yet"
    ),
]

TEARDOWN = ANSIBLE / "teardown.yml"
HELD = "/var/lib/sdops/held-packages"
SSHD = "/etc/ssh/sshd_config.d/01-sdops.conf"
CONFIRMED = {"sdops_teardown_confirmed": True}


@pytest.fixture
def plays(lab, new_host, tmp_path):
    return reaching(lab, new_host(), tmp_path)


def reaching(lab, host, folder):
    """Plays for the project's own playbook."""
    made = Plays(lab, folder, host)
    made.host = host
    return made


def there(host, *paths):
    return [path for path in paths if (host.root / path[1:]).exists()]


def test_without_a_yes_nothing_is_removed(plays):
    env.account(plays.host)
    for word in (None, "no", False):
        given = {} if word is None else {"sdops_teardown_confirmed": word}
        played = plays.play(TEARDOWN, **given)
        assert (played.rc, played.changed) == (2, ()), played.output
        assert "Nothing was removed. Answer yes" in played.said
    assert there(plays.host, "/home/sdops") == ["/home/sdops"]


@pytest.mark.parametrize("name", ["root", "daemon"])
def test_accounts_that_are_not_of_sdops_are_refused(plays, name):
    played = plays.play(TEARDOWN, **CONFIRMED, sdops_user=name)
    assert (played.rc, played.changed) == (2, ())
    assert "no account that sdops made" in played.said


def test_what_was_made_is_gone_and_what_was_there_stays(lab, new_host, release, tmp_path):
    host = new_host(release=release)
    plays = reaching(lab, host, tmp_path)
    env.account(host)
    env.furnish(host, None)
    assert plays.play(plays.role("hub_token"), hub_token_value="hf_some").rc == 0
    assert plays.play(plays.role("runtime")).rc == 0
    # By SSH: Debian 13's login manager answers no process that stands outside its host's control groups.
    host.run(["loginctl", "enable-linger", "sdops"])
    host.inside(["systemctl", "start", "user@1000.service"])
    run = ["env", "XDG_RUNTIME_DIR=/run/user/1000", "systemd-run", "--user", "sleep", "600"]
    host.inside(["runuser", "-u", "sdops", "--", *run])
    # And one that no session or service of the account's holds.
    elsewhere = ["systemd-run", "--uid=sdops", "sh", "-c", "trap '' TERM; while :; do sleep 600; done"]
    host.inside(elsewhere)
    host.put(HELD, "procps\ngone-since\n")
    host.inside(["apt-mark", "hold", "procps", "iproute2"])
    host.put(SSHD, "PasswordAuthentication no\n")
    assert len(host.inside(["pgrep", "-u", "sdops"]).stdout.split()) >= 3

    checked = plays.play(TEARDOWN, "--check", **CONFIRMED)
    assert checked.rc == 0, checked.output
    assert len(there(host, HELD, SSHD, "/home/sdops/.local/bin/sdops-runtime")) == 3

    played = plays.play(TEARDOWN, **CONFIRMED)
    assert played.rc == 0, played.output
    assert host.inside(["getent", "passwd", "sdops"], check=False).rc == 2
    assert host.inside(["pgrep", "-u", "1000"], check=False).stdout == ""
    gone = ("/home/sdops", "/var/lib/systemd/linger/sdops", "/var/lib/sdops", SSHD, "/var/mail/sdops")
    assert there(host, *gone) == []
    assert host.inside(["apt-mark", "showhold"]).stdout.split() == ["iproute2"]
    assert host.run(["true"]).rc == 0

    again = plays.play(TEARDOWN, **CONFIRMED)
    assert (again.rc, again.changed) == (0, ()), again.output


def test_an_account_that_does_nothing_is_removed_too(plays):
    env.account(plays.host)
    played = plays.play(TEARDOWN, **CONFIRMED)
    assert played.rc == 0, played.output
    assert there(plays.host, "/home/sdops") == []
