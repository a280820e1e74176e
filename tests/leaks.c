/* leaks.c -- in sanitizer builds only: makes it visible whose a lost block of memory is, so that
 * tools/leaks.txt can leave out those of MPI and HDF5 and nothing else. */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

int dlclose(void *handle);
int __vasprintf_chk(char **out, int flag, const char *format, va_list arguments);
int __asprintf_chk(char **out, int flag, const char *format, ...);

/* Plug-ins stay loaded: an unloaded one has no name in a leak's stack. */
int dlclose(void *handle)
{
    (void)handle;
    return 0;
}

/* The C library's own has no frame pointer, and the stack would end there. We do not use it. */
int __vasprintf_chk(char **out, int flag, const char *format, va_list arguments)
{
    va_list copy;
    int length;

    (void)flag;
    va_copy(copy, arguments);
    length = vsnprintf(NULL, 0, format, copy);
    va_end(copy);
    *out = length < 0 ? NULL : malloc((size_t)length + 1);
    return *out ? vsnprintf(*out, (size_t)length + 1, format, arguments) : -1;
}

int __asprintf_chk(char **out, int flag, const char *format, ...)
{
    va_list arguments;
    int length;

    va_start(arguments, format);
    length = __vasprintf_chk(out, flag, format, arguments);
    va_end(arguments);
    return length;
}

int vasprintf(char **out, const char *format, va_list arguments)
{
    return __vasprintf_chk(out, 0, format, arguments);
}

int asprintf(char **out, const char *format, ...)
{
    va_list arguments;
    int length;

    va_start(arguments, format);
    length = __vasprintf_chk(out, 0, format, arguments);
    va_end(arguments);
    return length;
}
