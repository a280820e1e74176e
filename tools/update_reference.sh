#!/usr/bin/env bash
# Write what is generated: config/reference.yaml and docs/configuration.md from the table in
# src/config/params.c, the tables of a checkpoint in docs/formats.md from src/model/state.c, docs/commands.md from the
# program's --help.
# usage: tools/update_reference.sh
set -eu
. "$(dirname "$0")/common.sh"
build build
TESS_UPDATE=1 CMOCKA_TEST_FILTER=config__reference_is_the_table build/tests/unit/unit_config >/dev/null
TESS_UPDATE=1 CMOCKA_TEST_FILTER=state__documented_table_is_the_table build/tests/unit/unit_state >/dev/null
tools/commands.sh build/tessera >docs/commands.md
git status --short config docs 2>/dev/null || true
