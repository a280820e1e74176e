#!/usr/bin/env bash
# Not tested with conda; parsed, and its options of Meson held against meson_options.txt, by tests/run/recipes.py. What conda-build runs in the sources.
set -eu
meson setup build-conda --prefix="$PREFIX" --libdir=lib --buildtype=release -Dtests=disabled -Donednn=disabled
ninja -C build-conda ${CPU_COUNT:+-j"$CPU_COUNT"}
meson install -C build-conda --no-rebuild
