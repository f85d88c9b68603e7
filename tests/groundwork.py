"""What the first roles of site.yml leave to the later ones, made on a test host in a second or two."""

from __future__ import annotations

from doubles.conda import mirror
from hosts.host import Host
from hosts.lab import Service


def account(host: Host, name: str = "sdops") -> None:
    """Makes the account as the role service_user does: entered by root's keys, its own systemd at work."""
    home = f"/home/{name}"
    host.put(f"/var/lib/sdops/account-{name}", "")
    host.inside(["useradd", "--create-home", "--shell", "/bin/bash", name])
    own = ["-o", name, "-g", name]
    host.inside(["install", "-d", "-m", "0700", *own, f"{home}/.ssh"])
    host.inside(["install", "-m", "0600", *own, "/root/.ssh/authorized_keys", f"{home}/.ssh"])
    # By SSH: Debian 13's login manager answers no process that stands outside its host's control groups.
    host.run(["sh", "-c", f"loginctl enable-linger {name} && systemctl start user@$(id -u {name}).service"])


def conda(host: Host, made: mirror.Mirror, served: Service, name: str = "sdops") -> None:
    """Makes account and conda as the roles before stack_env leave them."""
    account(host, name)
    version = mirror.VERSIONS[1]
    installer = f"Miniconda3-{version}-Linux-x86_64.sh"
    host.put(f"/opt/{installer}", (made.folder / "miniconda" / installer).read_bytes())
    settings = (
        f"channels:\n  - conda-forge\nchannel_alias: {served.url}/channels\n"
        f"envs_dirs:\n  - /home/{name}/.conda/envs\npkgs_dirs:\n  - /home/{name}/.conda/pkgs\n"
    )
    script = f"""set -e
cd; base=$PWD/miniconda3-{version}
sh /opt/{installer} -b -p "$base"
mkdir -p .conda/envs .conda/pkgs
ln -s "$base" miniconda3; ln -s "$PWD/.conda/envs" "$base/envs"
cat >"$base/.condarc"
echo '. ~/miniconda3/etc/profile.d/conda.sh' | tee -a .profile >>.bashrc
"""
    host.run(["su", "-", name, "-c", script], stdin=settings)
