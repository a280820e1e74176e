#!/usr/bin/env bash
# Machines that have nothing: bare trees of Debian 12, 13 and the newest, made by debootstrap. In each a clone of what is
# committed here, a user who may install nothing, README's first command as it stands, then tools/test.sh --quick, in the
# newest with the judges, in one with MPICH in the place of Open MPI.
# The bare trees and the packages that were fetched are kept in TESS_TREES (/var/cache/tessera-trees); what is
# installed and built goes at the end. Everything is mounted in a namespace of its own, which ends with the last
# process in it: nothing is ever mounted for the rest of the machine.
# usage: tests/trees/run.sh [bookworm] [trixie] [sid] [mpich]   (root; debootstrap installed)
set -u
. "$(dirname "$0")/../tap.sh"
trees=${TESS_TREES:-/var/cache/tessera-trees} days=14 # until a bare tree is made anew
archive=${TESS_MIRROR:-}                              # of Debian; as a rule it is among the machine's package sources
wanted=${*:-bookworm trixie sid mpich}

[ "$(id -u)" = 0 ] || skip_all "bare trees: debootstrap, chroot and mounting need root"
for name in debootstrap git unshare setpriv; do
    command -v $name >/dev/null || skip_all "bare trees: $name is missing (packages debootstrap, git, util-linux)"
done
unshare --mount --pid --fork mount -t tmpfs tmpfs "$work" 2>"$work/why" ||
    skip_all "bare trees: mounting is not permitted here: $(head -n 1 "$work/why")"
case $(realpath -m "$trees")/ in "$PWD"/*) echo "TESS_TREES lies in the source folder: name another one" >&2; exit 2 ;; esac
trees=$trees/debian # a folder of its own, for what is in it is removed and made anew
mkdir -p "$trees" && exec 9>"$trees/lock" && flock -n 9 || skip_all "bare trees: $trees is in use"

# The machine's package sources of Debian, a line each: address and release.
sources() {
    apt-get indextargets --format '$(ORIGIN) $(REPO_URI) $(CODENAME)' 'Created-By: Packages' 'Component: main' |
        sed -n 's/^Debian //p' | sort -u
}
[ -n "$archive$(sources)" ] || apt-get -qq update
release=$(sed -n 's/^VERSION_CODENAME=//p' /etc/os-release)
[ -n "$archive" ] || archive=$(sources | grep -v -- '-[a-z]*$' | grep -v debug | head -n 1 | cut -d ' ' -f 1)
[ -n "$archive" ] || skip_all "bare trees: no package source of this machine is Debian's: name one in TESS_MIRROR"

remove() { rm -rf --one-file-system "$1"; } # nothing is mounted in it, and if something were it stays
stop() {
    local id
    for id in $(jobs -p); do kill -KILL -- "-$id"; done 2>/dev/null
    wait
    for id in bookworm trixie sid mpich package; do remove "$trees/$id.run"; done
} 2>/dev/null

# bare SUITE: the tree as debootstrap makes it; whole or not there. One at a time.
bare() (
    tree=$trees/$1.bare
    exec 8>"$trees/$1.lock" && flock 8
    [ -z "$(find "$tree" -maxdepth 0 -mtime +$days 2>/dev/null)" ] || remove "$tree"
    [ ! -d "$tree" ] || exit 0
    remove "$trees/$1.new"
    debootstrap --variant=minbase ${certificates:+--include=ca-certificates} "$1" "$trees/$1.new" "$archive" &&
        rm -f "$trees/$1.new"/var/cache/apt/archives/*.deb && mv "$trees/$1.new" "$tree" && touch "$tree"
)
case $archive in https:*) certificates=yes ;; *) certificates='' ;; esac

# fresh SUITE NAME: a copy of the bare tree with the machine's package sources, proxies and names of hosts, and a clone
# of this checkout; its path in $tree.
fresh() {
    local uri codename
    tree=$trees/$2.run
    remove "$tree"
    mkdir -p "$trees/packages-$2/partial" &&
        cp -a --reflink=auto "$trees/$1.bare" "$tree" && cp /etc/resolv.conf /etc/hosts "$tree/etc/" || return
    echo "deb $archive $1 main" >"$tree/etc/apt/sources.list"
    [ "$1" = sid ] || sources | while read -r uri codename; do
        case $codename in "$release"-updates | "$release"-security) echo "deb $uri $1${codename#"$release"} main" ;; esac
    done >>"$tree/etc/apt/sources.list"
    apt-config dump | grep -E '^Acquire::(http|https|ftp|Check|Retries|ForceIPv|AllowInsecure)' >"$tree/etc/apt/apt.conf.d/50machine"
    printf '%s\n' 'Acquire::Languages "none";' 'APT::Sandbox::User "root";' >"$tree/etc/apt/apt.conf.d/51test"
    echo force-unsafe-io >"$tree/etc/dpkg/dpkg.cfg.d/test" # it goes in a few minutes
    [ -z "$certificates" ] || cp /etc/ssl/certs/ca-certificates.crt "$tree/etc/ssl/certs/"
    GIT_CONFIG_COUNT=1 GIT_CONFIG_KEY_0=safe.directory GIT_CONFIG_VALUE_0='*' \
        git clone -q --no-hardlinks "$PWD" "$tree/opt/tessera"
}

# inside COMMAND…: in $tree, as after a login, with devices and processes of its own.
inside() {
    local name known=()
    for name in http_proxy https_proxy ftp_proxy no_proxy HTTP_PROXY HTTPS_PROXY NO_PROXY; do
        [ -z "${!name+set}" ] || known+=("$name=${!name}")
    done
    # shellcheck disable=SC2016
    setpriv --pdeathsig KILL unshare --mount --pid --fork --kill-child bash -euc '
        tree=$1 packages=$2
        shift 2
        mount -t proc proc "$tree/proc"
        mount --rbind /sys "$tree/sys"
        mount -t tmpfs -o mode=755 dev "$tree/dev"
        for node in null:3 zero:5 full:7 random:8 urandom:9; do
            mknod -m 666 "$tree/dev/${node%:*}" c 1 "${node#*:}"
        done
        mkdir -m 1777 "$tree/dev/shm"
        mount -t tmpfs shm "$tree/dev/shm"
        mkdir "$tree/dev/pts"
        mount -t devpts -o newinstance,ptmxmode=0666 devpts "$tree/dev/pts"
        ln -s pts/ptmx "$tree/dev/ptmx"
        ln -s /proc/self/fd "$tree/dev/fd"
        for i in 0 1 2; do ln -s /proc/self/fd/$i "$tree/dev/$(echo stdin stdout stderr | cut -d " " -f $((i + 1)))"; done
        mount --bind "$packages" "$tree/var/cache/apt/archives"
        exec chroot "$tree" /usr/bin/env -i HOME=/root TERM=dumb LC_ALL=C.UTF-8 \
            PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin "$@"' \
        inside "$tree" "$trees/packages-$(basename "$tree" .run)" "${known[@]}" "$@" </dev/null
}

# case_of NAME WHAT COMMAND…: a result, with the end of its log if it is bad.
case_of() {
    local name=$1 what=$2 log=$work/$1.log began=$SECONDS
    shift 2
    "$@" >"$log" 2>&1 && echo "ok - $what, after $((SECONDS - began)) s" ||
        { { echo "not ok - $what"; tail -n 40 "$log" | sed 's/^/# /'; } >"$log.bad"; cat "$log.bad"; return 1; }
}

nothing_allowed() { # SUITE: a user who is not root, where there is no sudo
    inside sh -c 'useradd -d /opt/somebody -m somebody && cp -r /opt/tessera /opt/somebody && chown -R somebody: /opt/somebody' &&
        inside setpriv --reuid somebody --regid somebody --init-groups env HOME=/opt/somebody \
            bash -c 'cd ~/tessera && '"$first"
    [ $? = 1 ] || { echo "its exit code is not 1"; return 1; }
    for package in gcc libc6-dev meson ninja-build pkg-config openmpi-bin libopenmpi-dev libopenblas-dev libhdf5-openmpi-dev \
        libscalapack-openmpi-dev libyaml-dev libjansson-dev libxxhash-dev librandom123-dev uthash-dev zlib1g-dev libarchive-dev; do
        grep -q "packages (Debian, Ubuntu):.* $package\b" "$work/$1-user.log" || { echo "$package is not named"; return 1; }
    done
}
quickstart() {
    inside bash -c "cd /opt/tessera && $first && ls -s quickstart-*/scores.json quickstart-*/imputed.h5ad" &&
        no_warnings && { [ ! -e "$tree/opt/tessera/build/tests" ] || { echo "the tests were built as well"; false; }; }
}
no_warnings() { ! grep -A 5 'warning:' "$tree/opt/tessera/build/build-log.txt"; }
quick_tests() { inside bash -c "cd /opt/tessera && tools/test.sh --quick ${*:2}" && no_warnings; }
# section NAME: of the recipe for Apptainer, a script.
section() { awk -v name="%$1" '/^%/ {in_it = $1 == name; next} in_it' tools/packaging/tessera.def; }
# The Debian package: built in $tree, tried with lintian, installed by the steps of the recipe for Apptainer in a tree that
# has nothing else, and used there by a user who is not root.
packaged() { # SUITE
    local built=$tree tree=$tree name
    inside env DEBIAN_FRONTEND=noninteractive bash -c 'apt-get -qq update &&
        apt-get -qq install -y --no-install-recommends dpkg-dev lintian &&
        apt-get -qq build-dep -y --no-install-recommends /opt/tessera/tools/packaging &&
        cd /opt/tessera && DEB_BUILD_OPTIONS=noautodbgsym tools/packaging/debian.sh /opt/packages' &&
        fresh "$1" package && remove "$tree/opt/tessera" && cp "$built"/opt/packages/tessera_*.deb "$tree/opt/" &&
        cp tools/packaging/debian/tests/study "$tree/opt/" || return
    for name in post environment test runscript; do section "$name" >"$tree/opt/$name"; done
    inside sh -eu /opt/post && inside useradd -d /opt/somebody -m somebody &&
        inside setpriv --reuid somebody --regid somebody --init-groups env HOME=/opt/somebody \
            sh -euc 'cd && . /opt/environment && sh -eu /opt/test && sh /opt/runscript --help && sh /opt/study' &&
        remove "$tree"
}
mpich_tests() { inside bash -c 'cd /opt/tessera && tools/test.sh --mpich'; }

# tree NAME: all of a tree, its results on standard output.
tree() {
    local suite=$1 tree judges=''
    [ "$1" != mpich ] || suite=trixie
    [ "$1" != sid ] || judges=--judges
    case_of "$1-bare" "$1: a bare tree" bare "$suite" && case_of "$1-fresh" "$1: a copy of it, with a clone" fresh "$suite" "$1" || return
    if [ "$1" = mpich ]; then
        case_of mpich-tests "mpich: installed, built, unit and MPI tests" mpich_tests
    else
        case_of "$1-user" "$1: not root, no sudo: the missing packages are named" nothing_allowed "$1"
        case_of "$1-quickstart" "$1: $first" quickstart "$1" &&
            case_of "$1-tests" "$1: tools/test.sh --quick $judges" quick_tests "$1" $judges
        grep -hE '^[0-9]+ passed' "$work/$1-tests.log" 2>/dev/null | sed 's/^/# /'
    fi
    [ "$1" != bookworm ] || case_of package "$1: its package, built, and used where nothing else is" packaged "$suite"
    remove "$tree"
}

# README's first command, without what may follow it.
first=$(sed -n 's/^\(tools\/[a-z]*\.sh\)\b.*/\1/p' README.md | head -n 1)
[ -z "$(git status --porcelain 2>/dev/null)" ] || echo "# What is not committed here is not in the trees."
# Two at a time, for installing is mostly waiting.
share_of() { # NAME…: those of them that are wanted, one after the other
    local name
    for name in "$@"; do
        case " $wanted " in *" $name "*) tree "$name" ;; esac
    done
}
set -m
share_of sid mpich | tee "$work/one.tap" &
share_of bookworm trixie | tee "$work/other.tap" &
set +m
wait
n_ok=$(cat "$work"/*.tap | grep -c '^ok') n_bad=$(cat "$work"/*.tap | grep -c '^not ok')
printf '1..%d\n' $((n_ok + n_bad))
[ "$n_bad" = 0 ] && [ "$n_ok" -gt 0 ]
