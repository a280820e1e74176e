#!/usr/bin/env bash
# meson install into a folder (DESTDIR): the program, the jobs and the configurations are there, and the jobs find the program.
# A build folder: set up anew when what it was set up for has changed.
# usage: install.sh TESSERA SOURCE
set -u
tessera=$(realpath "$1") source=$(realpath "$2")
. "$2/tests/tap.sh"
command -v mpirun >/dev/null && command -v meson >/dev/null || { echo "mpirun or meson is missing"; exit 77; }
exec 2>&1

# shared PREFIX: a manual page for each command of --help, completions, documents with the pictures and links that they name.
shared() {
    local name link
    for name in '' $("$1/bin/tessera" --help | sed -n 's/^  \([a-z]\+\) .*/-\1/p'); do
        "$1/bin/tessera" --man${name:+=${name#-}} | cmp - "$1/share/man/man1/tessera$name.1" || return
    done
    "$1/bin/tessera" --man=settings | cmp - "$1/share/man/man5/tessera-settings.5" &&
        "$1/bin/tessera" --completion bash | cmp - "$1/share/bash-completion/completions/tessera" &&
        "$1/bin/tessera" --completion zsh | cmp - "$1/share/zsh/site-functions/_tessera" || return
    for name in README.md LICENSE CHANGELOG.md; do
        cmp "$source/$name" "$1/share/doc/tessera/$name" || return
    done
    # Links of documents to documents, as GitHub has them, lead to files there, too.
    grep -rohE '\]\((docs/)?[a-z]+\.(md|png)' "$1/share/doc/tessera/docs" "$1/share/doc/tessera/README.md" | sed 's/.*(//' | sort -u | while read -r link; do
        [ -e "$1/share/doc/tessera/docs/${link#docs/}" ] || { echo "# $link is not installed"; exit 1; }
    done
}

installed() {
    local at=$work/dest prefix
    DESTDIR=$at meson install -C "$(dirname "$tessera")" --no-rebuild --quiet >"$work/install.log" || return
    prefix=$(dirname "$(dirname "$(find "$at" -path '*/bin/tessera')")")
    "$prefix/bin/tessera" --version >>"$work/install.log" || return
    for name in config/quickstart.yaml jobs/common.sh jobs/slurm.sh jobs/local.sh jobs/train.sbatch jobs/train.pbs jobs/impute.sbatch; do
        [ -r "$prefix/share/tessera/$name" ] || { echo "# $name is not installed"; return 1; }
    done
    shared "$prefix" || return
    # What the schedulers copy elsewhere knows where the rest is: the prefix, without DESTDIR.
    grep -q "^TESSERA=\${TESSERA:-${prefix#"$at"}/share/tessera}" "$prefix/share/tessera/jobs/train.sbatch" || return
    study installed
    sed -i 's/epochs: .*/epochs: 3/' "$work/installed.yaml"
    cd "$work" || return
    CONFIG=$work/installed.yaml STORE=$work/data.prc.h5 RUN=$work/installed RANKS=1 timeout 120 \
        "$prefix/share/tessera/jobs/local.sh" >>"$work/install.log" && newest installed >/dev/null
}

# What a folder is set up for changes: here, a package that pkg-config finds.
set_up_anew() {
    local log=$work/folder.log
    mkdir -p "$work/project" "$work/pc"
    printf "option('tests', type: 'feature', value: 'disabled')\n" >"$work/project/meson_options.txt"
    echo "project('p', 'c')" >"$work/project/meson.build"
    echo "error('something is missing')" >>"$work/project/meson.build"
    (cd "$work/project" && ! configure b -Dtests=disabled) >"$log" 2>&1 || return # whose folder must not stand in the way
    printf "project('p', 'c')\noption = get_option('tests')\ndep = dependency('cmocka', required: false, method: 'pkg-config')\nmessage('there:', dep.found(), 'tests:', option.enabled())\n" \
        >"$work/project/meson.build"
    (
        export PKG_CONFIG_LIBDIR=$work/pc
        cd "$work/project" || exit
        configure b -Dtests=disabled && printf 'Name: cmocka\nVersion: 1\nDescription: none\n' >"$work/pc/cmocka.pc" &&
            configure b -Dtests=disabled && configure b -Dtests=disabled && configure b -Dtests=enabled
    ) >"$log" || return
    [ "$(grep -o 'there: .*' "$log" | tr '\n' ,)" = 'there: false tests: false,there: true tests: false,there: true tests: true,' ]
}

make_study
(installed) && pass "installed: complete, and the jobs find the program" || bad "installed" "$work/install.log"
(set_up_anew) && pass "a build folder is set up anew when a package comes or an option changes" || bad "set up anew" "$work/folder.log"
printf '1..%d\n' $((n_ok + n_bad))
[ $n_bad = 0 ]
