-- Tested with Lmod by tests/run/recipes.py: it loads, help and paths are right, and the program and its pages are found.
-- Copy it to .../modulefiles/tessera/0.1.0.lua and say where 'meson install' put the program; load what it was built with first.
local prefix = "/opt/tessera/0.1.0"

help("Tessera, distributed Large Perturbation Models: 'man tessera', documents in " .. prefix .. "/share/doc/tessera")
whatis("Name: tessera")
whatis("Version: 0.1.0")
whatis("Description: trains Large Perturbation Models with MPI, and predicts the experiments that nobody ran")

conflict("tessera")
-- depends_on("openmpi", "hdf5", "openblas", "scalapack")

prepend_path("PATH", pathJoin(prefix, "bin"))
prepend_path("MANPATH", pathJoin(prefix, "share/man"))
append_path("MANPATH", "") -- and where man looks by itself
setenv("TESSERA", pathJoin(prefix, "share/tessera"))
