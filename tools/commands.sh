#!/usr/bin/env bash
# Print docs/commands.md: what the program says about itself. usage: tools/commands.sh PROGRAM
set -eu
program=$1
echo '# Commands

Generated from the program by `tools/update_reference.sh`.'
for command in '' $("$program" --help | sed -n 's/^  \([a-z]\+\) .*/\1/p'); do
    printf '\n## tessera %s\n\n```\n' "$command" | sed 's/ $//'
    # shellcheck disable=SC2086
    "$program" $command --help | sed 's/ *$//' | sed -e :a -e '/^\n*$/{$d;N;ba' -e '}'
    echo '```'
done
