"""strings.py -- makes C strings of text files, for the compiler: NAME.EXT becomes tess_NAME_EXT.

usage: strings.py OUT.c FILE…"""
import pathlib
import sys

with open(sys.argv[1], "w") as out:
    out.write('/* made of the files of src/report by strings.py */\n')
    for path in map(pathlib.Path, sys.argv[2:]):
        content = path.read_bytes() + b"\0"
        out.write(f"\nconst char tess_{path.stem}_{path.suffix[1:]}[] = {{\n")
        for i in range(0, len(content), 24):
            out.write("    " + ", ".join(str(byte if byte < 128 else byte - 256) for byte in content[i:i + 24]) + ",\n")
        out.write("};\n")
