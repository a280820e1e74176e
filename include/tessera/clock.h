/* clock.h -- time, for reports and intervals. Nothing numerical may ever depend on it. Local. */
#ifndef TESSERA_CLOCK_H
#define TESSERA_CLOCK_H

double tess_clock(void); /* seconds since an arbitrary moment; never goes back */

#endif
