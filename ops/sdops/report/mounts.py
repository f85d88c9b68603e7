"""What is said of a folder that was mounted or unmounted."""

import shlex

from sdops.mounts import Mount
from sdops.report.terminal import document, messages, plain


def mounted(one: Mount, path: str, as_json: bool) -> None:
    """Says where it is, and how it ends."""
    if as_json:
        document({"ok": True, "host": one.host, "folder": str(one.folder)})
        return
    what = path or "the home of its account"
    messages().print(plain(f"{one.host}, {what}, is at {one.folder}"), soft_wrap=True)
    messages().print(plain(f"To end that: {shlex.join(['sdops', 'unmount', one.host])}"), soft_wrap=True)


def unmounted(one: Mount, as_json: bool) -> None:
    """Says that it is gone."""
    if as_json:
        document({"ok": True, "host": one.host, "folder": str(one.folder)})
        return
    messages().print(plain(f"{one.host} is not at {one.folder} any more."), soft_wrap=True)
