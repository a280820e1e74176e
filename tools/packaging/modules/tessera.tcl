#%Module1.0
# Tested with Lmod, which reads it too, by tests/run/recipes.py: it loads, help and paths are right. Not tested: Environment Modules.
# Copy it to .../modulefiles/tessera/0.1.0 and say where 'meson install' put the program; load what it was built with first.
set prefix /opt/tessera/0.1.0

proc ModulesHelp {} {
    global prefix
    puts stderr "Tessera, distributed Large Perturbation Models: 'man tessera', documents in $prefix/share/doc/tessera"
}
module-whatis "tessera 0.1.0: trains Large Perturbation Models with MPI, and predicts the experiments that nobody ran"

conflict tessera
# prereq openmpi hdf5 openblas scalapack

prepend-path PATH $prefix/bin
prepend-path MANPATH $prefix/share/man
append-path MANPATH "" ;# and where man looks by itself
setenv TESSERA $prefix/share/tessera
