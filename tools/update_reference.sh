#!/usr/bin/env bash
# Write config/reference.yaml and docs/configuration.md from the table in src/config/params.c.
# usage: tools/update_reference.sh [BUILD]
set -eu
cd "$(dirname "$0")/.."
build=${1:-build}
ninja -C "$build" tests/unit/unit_config
export OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1
TESS_UPDATE=1 CMOCKA_TEST_FILTER=config__reference_is_the_table "$build"/tests/unit/unit_config
