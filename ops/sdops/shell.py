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
# Terminals newer than the host's list of them are xterms in all that matters; tmux, less and clear refuse
# names that they do not know. Where nothing tells whether one is known, it is not.
_TERMINAL = """\
if [ -t 0 ] && ! infocmp "$TERM" >/dev/null 2>&1 && ! tput -T "$TERM" clear >/dev/null 2>&1; then
  export TERM=xterm-256color
fi
"""
# Not login shells, as tmux has them: those begin with the system's own PATH. Not exec: it may fail to start.
_TMUX = """\
if command -v tmux >/dev/null; then
  tmux -L {session} new-session -A -s {session} 'bash -i' \\; set-option default-command 'bash -i' && exit
  why="tmux ended with status $?"
else
  why='tmux is not there'
fi
echo "$why: what runs in this shell ends with the connection." >&2
"""


def remote(wanted: Wanted, words: Sequence[str], tmux: bool) -> str:
    """What the host is to run: a shell, in tmux if wanted, or a command, its words joined as ssh does it."""
    script = _ACTIVATE.format(
        conda=shlex.quote(f"{wanted.prefix}/etc/profile.d/conda.sh"),
        env=shlex.quote(wanted.env),
        broken=shlex.quote(f"The environment {wanted.env} cannot be activated: sdops doctor says why."),
        missing=shlex.quote(f"There is no conda in {wanted.prefix}: this shell is without {wanted.env}."),
    )
    script += _TERMINAL
    if words:
        script += 'eval "$*"\n'
    else:
        if tmux:
            script += _TMUX.format(session=SESSION)
        script += "exec bash -i\n"
    return command_line(["bash", "-c", script, "sdops", *words])
