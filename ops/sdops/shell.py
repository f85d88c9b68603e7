"""The command line of a shell on a host, with the environment active. No I/O here."""

import shlex
from collections.abc import Sequence

from sdops.facts.wanted import Wanted
from sdops.transport import command_line

#: The session of tmux, and its server, which is its own: so that the environment is the right one.
SESSION = "sdops"

_ACTIVATE = """\
if [ -r {conda} ]; then . {conda} && conda activate {env} >&2 || echo {broken} >&2
else echo {missing} >&2; fi
"""
# Not login shells, as tmux has them: those begin with the system's own PATH.
_TMUX = """\
if command -v tmux >/dev/null; then
  exec tmux -L {session} new-session -A -s {session} 'bash -i' \\; set-option default-command 'bash -i'
fi
echo 'tmux is not there: what runs in this shell ends with the connection.' >&2
"""


def remote(wanted: Wanted, words: Sequence[str], tmux: bool) -> str:
    """What the host is to run: a shell, in tmux if wanted, or a command, its words joined as ssh does it."""
    script = _ACTIVATE.format(
        conda=shlex.quote(f"{wanted.prefix}/etc/profile.d/conda.sh"),
        env=shlex.quote(wanted.env),
        broken=shlex.quote(f"The environment {wanted.env} cannot be activated: sdops doctor says why."),
        missing=shlex.quote(f"There is no conda in {wanted.prefix}: this shell is without {wanted.env}."),
    )
    if words:
        script += 'eval "$*"\n'
    else:
        if tmux:
            script += _TMUX.format(session=SESSION)
        script += "exec bash -i\n"
    return command_line(["bash", "-c", script, "sdops", *words])
