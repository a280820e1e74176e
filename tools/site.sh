#!/usr/bin/env bash
# Render README, docs/ and jobs/README.md as a site with search, to read in any browser: DIR/index.html. A link that leads nowhere, or a
# page that the navigation (tools/site.yml) lacks, is an error.
# usage: tools/site.sh [DIR]     (default: build-site/site)
set -eu
. "$(dirname "$0")/common.sh"
out=$(realpath -m -- "${1:-build-site/site}")
command -v mkdocs >/dev/null || tools/install.sh --site || exit 1
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
# The pages where they are in the source folder, so that links are the same; and what they link to.
mkdir "$work/pages"
cp -r README.md CHANGELOG.md LICENSE docs jobs config tools "$work/pages"
cp tools/site.yml "$work/mkdocs.yml"
cd "$work"
for page in README.md CHANGELOG.md jobs/README.md $(cd pages && find docs -name '*.md'); do
    grep -q ": $page\$" mkdocs.yml || fail "$page: the navigation in tools/site.yml does not have it"
done
mkdocs -q build --strict --site-dir "$work/site" -f mkdocs.yml
mkdir -p "$(dirname "$out")"
rm -rf "$out"
mv "$work/site" "$out"
echo "$out/index.html"
