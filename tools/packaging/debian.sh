#!/usr/bin/env bash
# Tested by tests/trees/run.sh in bare trees of Debian 12, in one built, in another installed and used; not on other releases.
# Builds Debian packages of what is in this folder (of a checkout: what git knows of) and tries them with lintian, if it is
# there: an error or a warning of it fails. Needs the build dependencies in tools/packaging/debian/control; no root.
# usage: tools/packaging/debian.sh [FOLDER]   (where packages go; default: packages)
set -eu
to=$(realpath -m "${1:-packages}")
cd "$(dirname "$0")/../.."
version=$(sed -n "s/^  version: '\(.*\)',/\1/p" meson.build)
grep -q "^tessera ($version) " tools/packaging/debian/changelog ||
    { echo "debian.sh: tools/packaging/debian/changelog does not begin with version $version" >&2; exit 1; }
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
mkdir -p "$to" "$work/tessera-$version"
files() { git ls-files -z 2>/dev/null || find . \( -path './build*' -o -path ./packages -o -path './quickstart-*' -o -path ./.git \) -prune -o -type f -print0; }
files | tar -c --null -T - | tar -x -C "$work/tessera-$version"
cp -r tools/packaging/debian "$work/tessera-$version/debian"
cd "$work/tessera-$version"
dpkg-buildpackage -us -uc -b
! command -v lintian >/dev/null || lintian --allow-root --fail-on error,warning --tag-display-limit 0 "$work"/*.changes
cp "$work"/*.deb "$work"/*.buildinfo "$work"/*.changes "$to"
ls -s "$to"/*.deb
