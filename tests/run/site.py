#!/usr/bin/python3
"""The documents as a site (tools/site.sh): every page is in it, links and their anchors lead somewhere, the search knows the words, and nothing is
fetched from elsewhere.

usage: site.py TESSERA SOURCE_FOLDER"""
import html.parser
import json
import pathlib
import subprocess
import sys
import tempfile

import machine
from checks import check, finish

machine.need("mkdocs")
root = pathlib.Path(sys.argv[2]).resolve()
folder = tempfile.TemporaryDirectory()
site = pathlib.Path(folder.name).resolve() / "site"


class Page(html.parser.HTMLParser):
    def __init__(self, path):
        super().__init__()
        self.ids, self.links, self.fetched = set(), [], []
        self.feed(path.read_text())

    def handle_starttag(self, tag, attributes):
        values = dict(attributes)
        self.ids.update(v for k, v in attributes if k in ("id", "name") and v)
        if tag == "a" and values.get("href"):
            self.links.append(values["href"])
        self.fetched += [values[k] for k in ("src",) if values.get(k)] + ([values["href"]] if tag == "link" and values.get("rel") != "canonical" and values.get("href") else [])


done = subprocess.run([root / "tools" / "site.sh", site], capture_output=True, text=True)
check(done.returncode == 0, f"{done.stdout} {done.stderr}")
pages = {path: Page(path) for path in site.rglob("*.html") if path.name != "404.html"}  # that one is for servers
for source in [root / "README.md", *(root / "docs").rglob("*.md"), root / "jobs" / "README.md"]:
    there = site / source.relative_to(root).with_suffix(".html")
    there = there.with_name("index.html") if source.name == "README.md" else there
    check(there in pages, f"{source.name} is in the site")
for path, page in pages.items():
    check(not any(a.startswith(("http", "//")) for a in page.fetched), f"{path.name} fetches {[a for a in page.fetched if a.startswith(('http', '//'))]}")
    for link in page.links:
        target, _, anchor = link.partition("#")
        if target.startswith(("http:", "https:", "mailto:")):
            continue
        found = (path.parent / target).resolve() if target else path
        found = found / "index.html" if found.is_dir() else found
        check(found.exists(), f"{path.relative_to(site)}: {link} leads nowhere")
        check(not anchor or found not in pages or anchor in pages[found].ids, f"{path.relative_to(site)}: {link}: there is no such heading")
words = json.load(open(site / "search" / "search_index.json"))["docs"]
check(any("interacting_components" in entry["text"] for entry in words), "the search knows what the pages say")
finish()
