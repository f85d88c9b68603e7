"""SSH to real servers: what goes wrong has a code of its own, and a hint with what to type."""

import contextlib
import logging
import shutil
import socket
import subprocess
import threading
import time
from pathlib import Path

import pytest
from sdops.errors import SdopsError
from sdops.facts.controller import look
from sdops.inventory import Host
from sdops.transport import open_session
from sdops.transport_settings import find_way

pytestmark = pytest.mark.hosts


@pytest.fixture(scope="module")
def server(lab):
    host = lab.host()
    yield host
    lab.remove(host)


@pytest.fixture(autouse=True)
def own_home(monkeypatch, tmp_path):
    """Keeps the person's keys, agent and settings out of it."""
    home = tmp_path / "home"
    (home / ".ssh").mkdir(parents=True, mode=0o700)
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.delenv("SSH_AUTH_SOCK", raising=False)
    find_way.cache_clear()
    yield home
    find_way.cache_clear()


@pytest.fixture
def reach(lab, server, tmp_path):
    """Opens a session as an inventory says; options of ssh by name, and what of the host is otherwise."""

    def call(timeout=20, key=None, name="gpu1", address=None, port=None, user="root", **options):
        given = {
            "UserKnownHostsFile": lab.controller.known_hosts,
            "GlobalKnownHostsFile": "/dev/null",
            **options,
        }
        words = tuple(word for option, value in given.items() for word in ("-o", f"{option}={value}"))
        host = Host(
            name,
            address or server.address,
            port,
            user,
            str(lab.controller.key if key is None else key),
            ("-F", "/dev/null", *words),
        )
        call.host = host
        return lab.controller.in_network(lambda: open_session(host, timeout))

    return call


def refused(call):
    with pytest.raises(SdopsError) as error:
        call().close()
    return error.value


def works(session):
    try:
        return session.run(["echo", "on"], timeout=20).stdout == b"on\n"
    finally:
        session.close()


def key_at(path, *words):
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", path, *words], check=True)
    return path


# -- the way there


def test_a_name_without_an_address(reach):
    error = refused(lambda: reach(address="nowhere.invalid", timeout=8))
    assert error.code == "host-name-unknown"
    assert "nowhere.invalid" in error.message
    assert error.hint.endswith("    getent hosts nowhere.invalid")


def test_nothing_at_the_address(reach):
    error = refused(lambda: reach(address="203.0.113.1"))
    assert (error.code, "203.0.113.1 port 22" in error.message) == ("host-unreachable", True)


def test_a_silent_host(reach, server):
    server.cut()
    try:
        began = time.monotonic()
        error = refused(lambda: reach(timeout=2))
        assert (error.code, 1.9 < time.monotonic() - began < 4) == ("host-unreachable", True)
        assert "silent for 2 s" in error.message
    finally:
        server.restore()


def test_a_port_where_nothing_listens(reach):
    error = refused(lambda: reach(port=2222))
    assert (error.code, "port 2222" in error.message) == ("ssh-refused", True)


@contextlib.contextmanager
def listening(lab, answer):
    """An address of a server that does this with every connection."""
    with lab.listen(22) as door:

        def serve():
            with contextlib.suppress(OSError):
                while True:
                    caller, _ = door.accept()
                    answer(caller)

        threading.Thread(target=serve, daemon=True).start()
        yield door.getsockname()[0]
        # Wakes up accept, which closing does not.
        with contextlib.suppress(OSError):
            door.shutdown(socket.SHUT_RDWR)


def test_a_server_that_hangs_up(lab, reach):
    with listening(lab, lambda caller: caller.close()) as address:
        error = refused(lambda: reach(address=address))
    assert (error.code, "ended it before the login" in error.message) == ("ssh-closed", True)


def test_a_server_that_speaks_something_else(lab, reach):
    def speak(caller):
        caller.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        caller.close()

    with listening(lab, speak) as address:
        assert refused(lambda: reach(address=address)).code == "ssh-closed"


def test_a_server_that_says_nothing(lab, reach):
    held = []
    with listening(lab, held.append) as address:
        began = time.monotonic()
        error = refused(lambda: reach(address=address, timeout=2))
        assert (error.code, time.monotonic() - began < 5) == ("host-slow", True)
    for one in held:
        one.close()


# -- whom to trust


def test_an_unknown_host_key_is_refused_with_the_command_that_would_trust_it(reach, tmp_path, server):
    known = tmp_path / "known"
    error = refused(lambda: reach(UserKnownHostsFile=known))
    assert error.code == "host-key-unknown"
    shown = subprocess.run(
        ["ssh-keygen", "-lf", "-"], input=server.public_key, capture_output=True, text=True, check=True
    )
    assert shown.stdout.split()[1] in error.message
    assert error.hint.splitlines()[-1].startswith("    ssh -F /dev/null ")
    assert error.hint.endswith(f"root@{server.address} true")
    assert not known.exists()
    assert look([reach.host])["gpu1"].known is False


@pytest.mark.parametrize("way", ["no", "accept-new", "off"])
def test_a_loosened_setting_lets_nobody_in(reach, tmp_path, way):
    error = refused(lambda: reach(UserKnownHostsFile=tmp_path / "known", StrictHostKeyChecking=way))
    assert (error.code, "StrictHostKeyChecking=ask" in error.hint) == ("host-key-unknown", True)
    error = refused(lambda: reach(UserKnownHostsFile="/dev/null", StrictHostKeyChecking=way))
    assert (error.code, "/dev/null" in error.message) == ("host-key-unknown", True)


def test_a_changed_host_key_is_refused(reach, tmp_path, server):
    other = key_at(tmp_path / "other").with_suffix(".pub").read_text()
    known = tmp_path / "known"
    known.write_text(f"# mine\n{server.address} {other}")
    error = refused(lambda: reach(UserKnownHostsFile=known))
    assert (error.code, f"{known}, line 2" in error.message) == ("host-key-changed", True)
    assert f"    ssh-keygen -R {server.address} -f {known}" in error.hint
    # What the hint says mends it.
    subprocess.run(["ssh-keygen", "-R", server.address, "-f", known], check=True, capture_output=True)
    assert refused(lambda: reach(UserKnownHostsFile=known)).code == "host-key-unknown"


def test_a_revoked_host_key_is_refused(reach, tmp_path, server):
    known = tmp_path / "known"
    known.write_text(f"{server.address} {server.public_key}\n@revoked * {server.public_key}\n")
    error = refused(lambda: reach(UserKnownHostsFile=known))
    assert (error.code, "revoked" in error.message) == ("host-key-changed", True)


def test_hashed_names_patterns_and_aliases_are_known(reach, tmp_path, server):
    known = tmp_path / "known"
    known.write_text(f"{server.address} {server.public_key}\n")
    subprocess.run(["ssh-keygen", "-H", "-f", known], check=True, capture_output=True)
    assert server.address not in known.read_text()
    assert works(reach(UserKnownHostsFile=known))
    assert look([reach.host])["gpu1"].known is True
    known.write_text(f"198.18.*,!198.18.1.* {server.public_key}\n")
    assert works(reach(UserKnownHostsFile=known))
    known.write_text(f"my-gpu {server.public_key}\n")
    assert works(reach(UserKnownHostsFile=known, HostKeyAlias="my-gpu"))


def test_a_host_that_is_known_by_one_kind_of_key_shows_that_one(lab, server, reach, tmp_path):
    server.run(
        ["sh", "-c", "ssh-keygen -q -t ecdsa -N '' -f /etc/ssh/ssh_host_ecdsa_key && systemctl restart ssh"]
    )
    ecdsa = " ".join(server.run(["cat", "/etc/ssh/ssh_host_ecdsa_key.pub"]).stdout.split()[:2])
    known = tmp_path / "known"
    for key in (ecdsa, server.public_key):
        known.write_text(f"{server.address} {key}\n")
        assert works(reach(UserKnownHostsFile=known))


# -- the login


def test_a_key_that_the_host_does_not_know(reach, tmp_path):
    error = refused(lambda: reach(key=key_at(tmp_path / "mine"), IdentitiesOnly="yes"))
    assert (error.code, "mine" in error.message) == ("login-refused", True)
    assert "authorized_keys" in error.hint


def test_an_account_that_is_not_there(reach):
    assert refused(lambda: reach(user="nobody-here")).code == "login-refused"


def test_no_key_at_all(reach):
    error = refused(lambda: reach(key=""))
    assert (error.code, "ssh-keygen -t ed25519" in error.hint) == ("ssh-key-missing", True)
    assert look([reach.host])["gpu1"].keys == ()


def test_a_key_with_a_passphrase_is_told_and_asked_for_by_nobody(reach, tmp_path):
    key = tmp_path / "locked"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "secret", "-f", key], check=True)
    error = refused(lambda: reach(key=key))
    assert (error.code, error.hint.endswith(f"    ssh-add {key}")) == ("ssh-key-locked", True)


KINDS = [["rsa", "-b", "2048"], ["ecdsa"], ["ed25519"], ["rsa", "-m", "PEM"], ["ecdsa", "-m", "PKCS8"]]


@pytest.mark.parametrize("kind", KINDS, ids=" ".join)
def test_every_kind_of_key_opens(reach, server, tmp_path, kind):
    key = tmp_path / "key"
    subprocess.run(["ssh-keygen", "-q", "-t", *kind, "-N", "", "-f", key], check=True)
    with (server.root / "root/.ssh/authorized_keys").open("a") as file:
        file.write(key.with_suffix(".pub").read_text())
    assert works(reach(key=key))


@pytest.fixture
def agent(tmp_path, monkeypatch):
    place = tmp_path / "agent"
    process = subprocess.Popen(["ssh-agent", "-D", "-a", place], stdout=subprocess.DEVNULL)
    while not place.exists():
        time.sleep(0.01)
    monkeypatch.setenv("SSH_AUTH_SOCK", str(place))
    yield place
    process.terminate()
    process.wait(10)


def test_an_agent_opens_what_has_a_passphrase(lab, reach, agent, tmp_path):
    subprocess.run(["ssh-add", "-q", lab.controller.key], check=True)
    assert works(reach(key=""))
    locked = tmp_path / "locked"
    shutil.copy(lab.controller.key, locked)
    shutil.copy(lab.controller.key.with_suffix(".pub"), tmp_path / "locked.pub")
    subprocess.run(["ssh-keygen", "-q", "-p", "-N", "secret", "-f", locked], check=True, capture_output=True)
    assert works(reach(key=locked, IdentitiesOnly="yes"))
    assert look([reach.host])["gpu1"].agent_keys == 1


def test_an_agent_full_of_other_keys_does_not_lock_the_named_one_out(lab, reach, agent, tmp_path):
    for number in range(7):
        subprocess.run(["ssh-add", "-q", key_at(tmp_path / f"other{number}")], check=True)
    assert works(reach())
    error = refused(lambda: reach(key=""))
    assert (error.code, error.message.count("(agent)")) == ("login-refused", 5)


@pytest.mark.parametrize("what", ["gone", "hangs"])
def test_an_agent_that_does_not_answer_is_none(reach, tmp_path, monkeypatch, what):
    place = tmp_path / "dead"
    with socket.socket(socket.AF_UNIX) as door:
        if what == "hangs":
            door.bind(str(place))
            door.listen(5)
        monkeypatch.setenv("SSH_AUTH_SOCK", str(place))
        began = time.monotonic()
        session = reach(timeout=30)
        assert works(session)
        assert time.monotonic() - began < 10


# -- what ssh's settings say


def test_settings_of_ssh_lead_there(lab, server, own_home):
    (own_home / ".ssh" / "config").write_text(
        f"Include more\nHost box\n  HostName {server.address}\n  UserKnownHostsFile "
        f"{lab.controller.known_hosts}\n"
    )
    (own_home / ".ssh" / "more").write_text(f"Host box\n  IdentityFile {lab.controller.key}\n")
    # ssh reads the settings of the account that runs it, whatever HOME is.
    config = ("-F", str(own_home / ".ssh" / "config"))
    (own_home / ".ssh" / "config").write_text(
        (own_home / ".ssh" / "config").read_text().replace("Include more", f"Include {own_home}/.ssh/more")
    )
    host = Host("gpu1", "box", ssh_args=config)
    assert works(lab.controller.in_network(lambda: open_session(host)))


def test_settings_that_ssh_cannot_read(reach):
    error = refused(lambda: reach(NoSuchOption="yes"))
    assert (error.code, "nosuchoption" in error.message.lower()) == ("ssh-settings", True)


def test_a_jump_host_leads_there(lab, server, reach, tmp_path):
    inner = lab.host()
    try:
        config = tmp_path / "config"
        config.write_text(
            f"Host *\n  IdentityFile {lab.controller.key}\n  UserKnownHostsFile "
            f"{lab.controller.known_hosts}\n"
            f"  User root\nHost bastion\n  HostName {server.address}\n"
            f"Host inner\n  HostName {inner.address}\n  ProxyJump bastion\n"
        )
        host = Host("gpu1", "inner", ssh_args=("-F", str(config)))
        session = lab.controller.in_network(lambda: open_session(host))
        seen = session.run(["sh", "-c", "echo $SSH_CONNECTION"], timeout=20).stdout.decode().split()[0]
        session.close()
        assert seen == server.address
        through = f"ssh -F {config} -W %h:%p bastion"
        proxied = Host("gpu1", inner.address, ssh_args=("-F", str(config), "-o", f"ProxyCommand={through}"))
        assert works(lab.controller.in_network(lambda: open_session(proxied)))
        inner.run(["systemctl", "stop", "ssh.socket", "ssh.service"], check=False)
        error = refused(lambda: lab.controller.in_network(lambda: open_session(host)))
        assert (error.code, "Jump host bastion" in error.message) == ("host-unreachable", True)
    finally:
        lab.remove(inner)


def test_many_at_once_through_one_jump_host(lab, server, new_host, tmp_path):
    """More than its SSH server lets in at the same time."""
    bastion = new_host()
    config = tmp_path / "config"
    config.write_text(
        f"Host *\n  IdentityFile {lab.controller.key}\n  UserKnownHostsFile {lab.controller.known_hosts}\n"
        f"  User root\nHost bastion\n  HostName {bastion.address}\n"
        f"Host gpu*\n  HostName {server.address}\n  ProxyJump bastion\n"
    )
    found = []

    def ask(number):
        host = Host(f"gpu{number}", f"gpu{number}", ssh_args=("-F", str(config)))
        found.append(works(lab.controller.in_network(lambda: open_session(host, 60))))

    for host, most in ((bastion, 10), (server, 100)):
        host.put("/etc/ssh/sshd_config.d/most.conf", f"MaxStartups {most}:100:{most}\n")
        host.run(["systemctl", "restart", "ssh"])
    threads = [threading.Thread(target=ask, args=(number,)) for number in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [True] * 20


def test_jump_hosts_in_a_circle(lab, tmp_path):
    config = tmp_path / "config"
    config.write_text("Host a\n  ProxyJump b\nHost b\n  ProxyJump a\n")
    host = Host("gpu1", "a", ssh_args=("-F", str(config)))
    error = refused(lambda: lab.controller.in_network(lambda: open_session(host)))
    assert (error.code, "circle" in error.message) == ("ssh-settings", True), error.message


def test_a_proxy_command_that_fails_is_quoted(reach):
    error = refused(lambda: reach(ProxyCommand="sh -c 'echo no such bastion >&2; exit 1'"))
    assert (error.code, "no such bastion" in error.message) == ("ssh-closed", True)


# -- while it lasts


def test_a_host_that_vanishes_is_noticed_in_time(reach, server):
    session = reach()
    server.cut()
    try:
        began = time.monotonic()
        error = refused(lambda: session.run(["sleep", "60"], timeout=3))
        assert error.code in ("host-slow", "connection-lost")
        assert time.monotonic() - began < 6
    finally:
        server.restore()
        session.close()


def test_a_connection_that_breaks_off_is_told(reach, server):
    session = reach()
    lost = threading.Timer(1, lambda: server.run(["pkill", "-f", "^sshd: root@notty"], check=False))
    lost.start()
    error = refused(lambda: session.run(["sleep", "60"], timeout=30))
    lost.join()
    session.close()
    assert error.code == "connection-lost"
    assert refused(lambda: session.run(["true"], timeout=10)).code == "connection-lost"


def test_a_short_cut_is_lived_through(reach, server):
    session = reach()
    server.cut()
    mend = threading.Timer(2, server.restore)
    mend.start()
    assert works(session)
    mend.join()


@pytest.mark.parametrize("shell", ["/bin/dash", "/bin/bash"])
def test_words_arrive_through_other_login_shells(lab, server, reach, shell):
    server.run(["usermod", "--shell", shell, "root"])
    try:
        session = reach()
        words = ["it's", "a\\b", "!!", "$x", "new\nline"]
        ran = session.run(["printf", "<%s>", *words], timeout=20)
        session.close()
        assert ran.stdout.decode() == "".join(f"<{word}>" for word in words)
    finally:
        server.run(["usermod", "--shell", "/bin/bash", "root"])


def test_greetings_do_no_harm_to_files(server, reach, tmp_path):
    server.put("/root/.bashrc", "echo Welcome to the machine\n")
    try:
        session = reach()
        (tmp_path / "one").write_bytes(b"one")
        session.put(tmp_path / "one", "one", timeout=20)
        session.get("one", tmp_path / "two", timeout=20)
        assert session.run(["cat", "one"], timeout=20).stdout == b"Welcome to the machine\none"
        session.close()
        assert (tmp_path / "two").read_bytes() == b"one"
    finally:
        server.put("/root/.bashrc", "")


def test_the_libraries_are_silent(reach, capfd):
    """Also when connections fail, which Paramiko logs with tracebacks."""
    logging.getLogger("paramiko").handlers.clear()
    refused(lambda: reach(user="nobody-here"))
    refused(lambda: reach(UserKnownHostsFile="/dev/null"))
    refused(lambda: reach(ProxyCommand="false"))
    assert capfd.readouterr() == ("", "")


def descriptors():
    return len(list(Path("/proc/self/fd").iterdir()))


def test_nothing_is_left_open(reach):
    before = descriptors()
    for _ in range(3):
        works(reach())
        refused(lambda: reach(user="nobody-here"))
        refused(lambda: reach(UserKnownHostsFile="/dev/null"))
        refused(lambda: reach(ProxyCommand="false"))
    end = time.monotonic() + 5
    while descriptors() > before and time.monotonic() < end:
        time.sleep(0.05)
    assert descriptors() <= before
