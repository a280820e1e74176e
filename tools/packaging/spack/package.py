# Not tested with Spack: parsed by Python and held against meson.build by tests/run/recipes.py. homepage and url are placeholders.
# Put it where a repository of packages of your own has it (packages/tessera/package.py) and build a checkout:
#   spack dev-build -d CHECKOUT tessera@0.1.0
from spack.package import *


class Tessera(MesonPackage):
    """Distributed Large Perturbation Models: trains on perturbation screens with MPI, and predicts the experiments that
    nobody ran. The same bits on any number of processes."""

    homepage = "https://tessera.invalid"
    url = "https://tessera.invalid/tessera-0.1.0.tar.gz"

    license("Apache-2.0")

    version("0.1.0")

    variant("onednn", default=False, description="Matrix units for bfloat16")

    depends_on("c", type="build")
    depends_on("meson@0.61:", type="build")
    depends_on("pkgconfig", type="build")
    depends_on("uthash", type="build")
    depends_on("random123", type="build")

    depends_on("mpi@3:")
    depends_on("hdf5+mpi")
    depends_on("openblas")
    depends_on("netlib-scalapack")
    depends_on("libyaml")
    depends_on("jansson")
    depends_on("xxhash")
    depends_on("zlib-api")
    depends_on("libarchive")
    depends_on("onednn@2:", when="+onednn")

    def meson_args(self):
        # The package oneDNN is found by the compiler, not by pkg-config.
        return ["-Dtests=disabled", "-Donednn=" + ("enabled" if self.spec.satisfies("+onednn") else "disabled")]

    def setup_build_environment(self, env):
        # Libraries of headers alone, which are looked for on the compiler's path.
        for name in ["uthash", "random123"] + (["onednn"] if self.spec.satisfies("+onednn") else []):
            env.prepend_path("CPATH", self.spec[name].prefix.include)
        if self.spec.satisfies("+onednn"):
            env.prepend_path("LIBRARY_PATH", self.spec["onednn"].libs.directories[0])
