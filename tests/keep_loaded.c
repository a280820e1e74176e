/* keep_loaded.c -- with sanitizers only: plug-ins stay loaded, so that the leak check can tell
 * whose memory it is and leave MPI's alone (tools/leaks.txt). */
int dlclose(void *handle);

int dlclose(void *handle)
{
    (void)handle;
    return 0;
}
