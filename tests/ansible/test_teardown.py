"""teardown.yml on real hosts: what site.yml made is gone, what it found there stays."""

import pytest
from doubles import env
from fleets import of_each_release
from groundwork import account
from plays import Play

pytestmark = pytest.mark.hosts

HELD = "/var/lib/sdops/held-packages"
SSHD = "/etc/ssh/sshd_config.d/01-sdops.conf"


@pytest.fixture
def teardown(lab, tmp_path):
    return Play(lab, tmp_path, playbook="teardown.yml")


CONFIRMED = {"sdops_teardown_confirmed": True}


def there(host, *paths):
    return [path for path in paths if (host.root / path[1:]).exists()]


@pytest.fixture(scope="module")
def kept(lab):
    """A host with an account, for tests that must remove nothing."""
    host = lab.host()
    account(host)
    yield host
    lab.remove(host)


@pytest.mark.parametrize(
    "given", [{}, {"sdops_teardown_confirmed": "no"}, {"sdops_teardown_confirmed": False}]
)
def test_without_a_yes_nothing_is_removed(teardown, kept, given):
    refused = teardown.run(kept, ok=False, **given)
    assert refused.changed == ()
    assert "Nothing was removed. Answer yes" in refused.message
    assert there(kept, "/home/sdops") == ["/home/sdops"]


@pytest.mark.parametrize("name", ["root", "daemon"])
def test_accounts_that_are_not_of_sdops_are_refused(teardown, kept, name):
    refused = teardown.run(kept, ok=False, **CONFIRMED, sdops_user=name)
    assert refused.changed == ()
    assert "no account that sdops made" in refused.message


def test_what_was_made_is_gone_and_what_was_there_stays(lab, teardown, tmp_path):
    with of_each_release(lab) as made:
        hosts = tuple(made.values())
        for host in hosts:
            account(host)
            env.furnish(host, None)
        Play(lab, tmp_path, "hub_token", "runtime").run(*hosts, hub_token_value="hf_some")
        for host in hosts:
            live(host)

        teardown.run(*hosts, check=True, **CONFIRMED)
        for host in hosts:
            assert len(there(host, HELD, SSHD, "/home/sdops/.local/bin/sdops-runtime")) == 3

        teardown.run(*hosts, **CONFIRMED)
        for host in hosts:
            assert host.inside(["getent", "passwd", "sdops"], check=False).rc == 2
            assert host.inside(["pgrep", "-u", "1000"], check=False).stdout == ""
            gone = ("/home/sdops", "/var/lib/systemd/linger/sdops", "/var/lib/sdops", SSHD, "/var/mail/sdops")
            assert there(host, *gone) == []
            assert host.inside(["apt-mark", "showhold"]).stdout.split() == ["iproute2"]
            assert host.run(["true"]).rc == 0
        assert teardown.run(*hosts, **CONFIRMED).changed == ()


def live(host):
    """Gives a host what its account runs, and what other roles changed on the system."""
    run = ["env", "XDG_RUNTIME_DIR=/run/user/1000", "systemd-run", "--user", "sleep", "600"]
    host.inside(["runuser", "-u", "sdops", "--", *run])
    # And one that no session or service of the account's holds.
    elsewhere = ["systemd-run", "--uid=sdops", "sh", "-c", "trap '' TERM; while :; do sleep 600; done"]
    host.inside(elsewhere)
    host.put(HELD, "procps\ngone-since\n")
    host.inside(["apt-mark", "hold", "procps", "iproute2"])
    host.put(SSHD, "PasswordAuthentication no\n")
    assert len(host.inside(["pgrep", "-u", "sdops"]).stdout.split()) >= 3


def test_an_account_that_was_there_before_stays_unless_it_may_go(lab, teardown, tmp_path, host):
    """Neither site.yml nor the teardown makes it sdops' own."""
    host.inside(["useradd", "--create-home", "sdops"])
    Play(lab, tmp_path, "service_user").run(host, sdops_expect_gpu=False)
    refused = teardown.run(host, ok=False, **CONFIRMED)
    assert refused.changed == ()
    assert "was there before sdops" in refused.message
    assert there(host, "/home/sdops") == ["/home/sdops"]
    host.inside(["sh", "-c", refused.message.rpartition("on the host: ")[2]])
    teardown.run(host, **CONFIRMED)
    assert there(host, "/home/sdops", "/var/lib/sdops") == []


def test_of_two_accounts_each_is_removed_by_its_own_teardown(teardown, host):
    account(host)
    account(host, "painter")
    teardown.run(host, **CONFIRMED)
    assert there(host, "/home/sdops", "/home/painter") == ["/home/painter"]
    teardown.run(host, **CONFIRMED, sdops_user="painter")
    assert there(host, "/home/painter", "/var/lib/sdops") == []
    assert teardown.run(host, **CONFIRMED, sdops_user="painter").changed == ()
