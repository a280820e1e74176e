/* h5_type.c -- types of values that C has not. */
#include "tessera/h5.h"

hid_t tess_h5_string_type(int width)
{
    hid_t type = H5Tcopy(H5T_C_S1);

    H5Tset_size(type, (size_t)(width > 0 ? width : 1));
    H5Tset_strpad(type, H5T_STR_NULLPAD);
    H5Tset_cset(type, H5T_CSET_UTF8);
    return type;
}

hid_t tess_h5_bool_type(void)
{
    hid_t type = H5Tenum_create(H5T_NATIVE_INT8);

    H5Tenum_insert(type, "FALSE", &(int8_t){0});
    H5Tenum_insert(type, "TRUE", &(int8_t){1});
    return type;
}

/* As h5py makes it of a float16: 1 sign, 5 exponent and 10 fraction bits, little-endian. */
hid_t tess_h5_half_type(void)
{
    hid_t type = H5Tcopy(H5T_IEEE_F32LE);

    H5Tset_fields(type, 15, 10, 5, 0, 10);
    H5Tset_size(type, 2);
    H5Tset_ebias(type, 15);
    return type;
}

size_t tess_h5_type_size(hid_t type)
{
    return H5Tget_size(type);
}

void tess_h5_type_close(hid_t type)
{
    H5Tclose(type);
}
