#!/usr/bin/env python3
"""recipes.py -- recipes of tools/packaging: what can read them does, and they say what meson.build says.

usage: recipes.py TESSERA SOURCE_FOLDER"""
import json
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile
import types

tessera, root = pathlib.Path(sys.argv[1]).resolve(), pathlib.Path(sys.argv[2]).resolve()
recipes = root / "tools" / "packaging"
work = pathlib.Path(tempfile.mkdtemp())
MESON = (root / "meson.build").read_text()
VERSION = re.search(r"^  version: '(.*)',", MESON, flags=re.M).group(1)
OPTIONS = set(re.findall(r"^option\('(\w+)'", (root / "meson_options.txt").read_text(), flags=re.M))
# What meson.build looks for -> its package in tools/install.sh, with Spack, with EasyBuild (None: of the toolchain, or
# named in the recipe's first lines), with conda.
NEEDS = {
    "mpi": ("libopenmpi-dev", "mpi", None, "{{ mpi }}"),
    "hdf5": ("libhdf5-openmpi-dev", "hdf5", "HDF5", "hdf5"),
    "openblas": ("libopenblas-dev", "openblas", None, "openblas"),
    "scalapack": ("libscalapack-openmpi-dev", "netlib-scalapack", None, "scalapack"),
    "yaml-0.1": ("libyaml-dev", "libyaml", "libyaml", "yaml"),
    "jansson": ("libjansson-dev", "jansson", "Jansson", "jansson"),
    "libxxhash": ("libxxhash-dev", "xxhash", "xxHash", "xxhash"),
    "zlib": ("zlib1g-dev", "zlib-api", "zlib", "zlib"),
    "libarchive": ("libarchive-dev", "libarchive", "libarchive", "libarchive"),
    "Random123/philox.h": ("librandom123-dev", "random123", None, "random123"),
    "uthash.h": ("uthash-dev", "uthash", None, "uthash"),
}
ASIDE = {"", "mpich", "mpi-c", "hdf5-", "hdf5-mpi", "openblas-lapack", "lapack", "scalapack-", "openmp"}  # other names, of a compiler


def check_table():
    """NEEDS is what meson.build looks for, and tools/install.sh installs."""
    asked = set()
    for call in re.findall(r"\bdependency\(([^)]*)", MESON):
        asked |= set(re.findall(r"'([^']*)'", re.sub(r"\w+:.*", "", call)))
    asked |= set(re.findall(r"'([^']+)'", re.search(r"foreach header : \[(.*)\]", MESON).group(1)))
    assert asked - ASIDE == set(NEEDS), (asked - ASIDE) ^ set(NEEDS)
    need = re.search(r'^need="([^"]*)"', (root / "tools" / "install.sh").read_text(), flags=re.M).group(1).split()
    tools = {"gcc", "libc6-dev", "meson", "ninja-build", "pkg-config", "openmpi-bin"}
    assert set(need) - tools == {names[0] for names in NEEDS.values()}, need


def check_first_lines():
    for path in sorted(p for p in recipes.rglob("*") if p.suffix in (".py", ".eb", ".yaml", ".sh", ".lua", ".tcl", ".def")):
        first = [line for line in path.read_text().splitlines() if not line.startswith(("#!", "#%"))][0]
        assert re.search(r"\b[Tt]ested\b", first), f"{path}: its first line does not say what was tested"
        for option in re.findall(r"-D(\w+)=", path.read_text()):
            assert option in OPTIONS, f"{path}: no option {option}"


def check_spack():
    stub, said = types.ModuleType("spack.package"), {"depends_on": [], "version": [], "variant": []}
    stub.MesonPackage = object
    stub.license = lambda *given, **more: None
    for name, calls in said.items():
        setattr(stub, name, lambda *given, _calls=calls, **more: _calls.append(given[0]))
    sys.modules.update({"spack": types.ModuleType("spack"), "spack.package": stub})
    space = {}
    exec(compile((recipes / "spack" / "package.py").read_text(), "package.py", "exec"), space)
    names = {re.split(r"[@+]", spec)[0] for spec in said["depends_on"]}
    assert {names_of[1] for names_of in NEEDS.values()} == names - {"c", "meson", "pkgconfig", "onednn"}, names
    assert "hdf5+mpi" in said["depends_on"] and said["version"] == [VERSION] and said["variant"] == ["onednn"]
    package = space["Tessera"]()
    for has in (True, False):
        package.spec = types.SimpleNamespace(satisfies=lambda wanted, has=has: has)
        assert package.meson_args() == ["-Dtests=disabled", f"-Donednn={'enabled' if has else 'disabled'}"]


def check_easybuild():
    path, = (recipes / "easybuild").glob("*.eb")
    told = {"SOURCE_TAR_GZ": "%(name)s-%(version)s.tar.gz"}
    exec(compile(path.read_text(), str(path), "exec"), told)
    chain = f"{told['toolchain']['name']}-{told['toolchain']['version']}"
    assert path.name == f"{told['name']}-{told['version']}-{chain}.eb" and told["version"] == VERSION, path.name
    assert {name for name, version in told["dependencies"]} == {names[2] for names in NEEDS.values() if names[2]}
    head = path.read_text().split("easyblock")[0]
    assert "Random123" in head and "uthash" in head
    said = subprocess.run(["meson", "introspect", "--installed", str(tessera.parent)], capture_output=True, text=True)
    if said.returncode == 0:
        to = {re.sub(r"^.*?/(?=(bin|share)/)", "", where) for where in json.loads(said.stdout).values()}
        for kind in ("files", "dirs"):
            for wanted in told["sanity_check_paths"][kind]:
                assert any(where == wanted or where.startswith(wanted + "/") for where in to), wanted


def check_conda():
    try:
        import jinja2
        import yaml
    except ImportError:
        return print("jinja2 or yaml is missing: the recipe for conda is not read")
    text = (recipes / "conda" / "meta.yaml").read_text()
    for mpi in ("openmpi", "mpich"):
        made = yaml.safe_load(jinja2.Template(text).render(mpi=mpi, compiler=lambda language: f"{language}_compiler", PKG_HASH="h", PKG_BUILDNUM=0))
        assert made["package"] == {"name": "tessera", "version": VERSION}
        host = {spec.split()[0] for spec in made["requirements"]["host"]}
        assert host - {"libblas", "liblapack"} == {names[3].replace("{{ mpi }}", mpi) for names in NEEDS.values()}, host
        assert (recipes / "conda" / made["source"]["path"].split()[0]).resolve() == root and (root / made["about"]["license_file"]).exists()
        for command in made["test"]["commands"]:
            done = subprocess.run(command.replace("tessera ", f"{tessera} ", 1), shell=True, cwd=work, capture_output=True, text=True, timeout=60)
            assert done.returncode == 0, (command, done.stderr)
    return None


def check_debian():
    debian = recipes / "debian"
    assert (debian / "changelog").read_text().startswith(f"tessera ({VERSION}) ")
    control = (debian / "control").read_text()
    asked = set(re.findall(r"^ (\S+?),?(?: .*)?$", control.split("Build-Depends:")[1].split("\nPackage:")[0], flags=re.M))
    assert {names[0] for names in NEEDS.values()} | {"libdnnl-dev", "meson", "pkgconf", "debhelper-compat"} == asked, asked


def check_modules():
    lmod = pathlib.Path("/usr/share/lmod/lmod/libexec/lmod")
    if not lmod.exists():
        return print("Lmod is missing: module files are not loaded")
    prefix = work / "opt"
    (prefix / "bin").mkdir(parents=True)
    (prefix / "share" / "man" / "man1").mkdir(parents=True)
    shutil.copy(tessera, prefix / "bin" / "tessera")
    (prefix / "share" / "man" / "man1" / "tessera.1").write_text(subprocess.run([tessera, "--man"], capture_output=True, text=True, check=True).stdout)
    for path in sorted((recipes / "modules").iterdir()):
        files = work / path.suffix[1:] / "tessera"
        files.mkdir(parents=True)
        text = path.read_text()
        assert f"/opt/tessera/{VERSION}" in text, path
        (files / (VERSION + (".lua" if path.suffix == ".lua" else ""))).write_text(text.replace(f"/opt/tessera/{VERSION}", str(prefix)))
        script = f"eval \"$({lmod} bash load tessera/{VERSION})\" && command -v tessera && echo $TESSERA && tessera --version && man -w tessera && man -w man"
        bare = {"MODULEPATH": str(files.parent), "PATH": "/usr/bin:/bin", "HOME": str(work), "LC_ALL": "C.UTF-8"}
        done = subprocess.run(["bash", "-c", script if shutil.which("man") else script.split(" && man")[0]], capture_output=True, text=True, env=bare, timeout=60)
        said = done.stdout.splitlines()
        assert done.returncode == 0 and said[:2] == [f"{prefix}/bin/tessera", f"{prefix}/share/tessera"], (path, done.stdout, done.stderr)
        assert not shutil.which("man") or said[-2] == f"{prefix}/share/man/man1/tessera.1", said
        help = subprocess.run([lmod, "bash", "help", f"tessera/{VERSION}"], capture_output=True, text=True, env=bare, timeout=60).stderr
        assert f"{prefix}/share/doc/tessera" in help, help
    return None


os.chdir(work)
for check in (check_table, check_first_lines, check_spack, check_easybuild, check_conda, check_debian, check_modules):
    check()
shutil.rmtree(work)
