#!/bin/sh
# Install the Debian packages that the test hosts and the gallery's tests need; does nothing where they are.
# Not root, or no apt: says so and succeeds; the tests then skip with their reason.
set -eu

packages="mmdebstrap systemd-container iproute2 openssh-client chromium chromium-driver fonts-dejavu-core sshfs"

missing=""
for package in $packages; do
    dpkg-query --show --showformat='${Status}' "$package" 2>/dev/null | grep -q ' installed$' ||
        missing="$missing $package"
done
# What apt knows of its mirrors (their suites' names) it learns by an update.
# shellcheck disable=SC2016 # apt's own names, not the shell's
known=$(apt-get indextargets --format '$(ORIGIN)' 2>/dev/null | grep -c '^Debian$') || true
[ -n "$missing" ] || [ "${known:-0}" = 0 ] || exit 0

if [ "$(id -u)" != 0 ] || ! command -v apt-get >/dev/null; then
    echo "test hosts: not root on Debian, cannot install:${missing:- (nothing; no list of packages)}" >&2
    exit 0
fi
apt-get update --quiet
[ -n "$missing" ] || exit 0
# Word splitting is meant: one argument per package.
# shellcheck disable=SC2086
DEBIAN_FRONTEND=noninteractive apt-get install --quiet --yes --no-install-recommends $missing
