/* target.h -- what a perturbation's symbol says of itself: "compound:vorinostat", "CRISPRi_TP53".
 * Local. */
#ifndef TESSERA_TARGET_H
#define TESSERA_TARGET_H

#define TESS_CONTROL "control" /* the reserved perturbation symbol */

/* What was hit: what follows the last '_' or ':' (within the symbol). */
const char *tess_target_name(const char *symbol);

/* Names by which something may be known of it from elsewhere, k = 0, 1, …: its own, its target, and
 * of drug@10uM those of the drug; NULL: there are no more. Own of the caller. */
char *tess_target_alias(const char *symbol, int k);

/* How: what precedes the first ':'; else what precedes the first '_' if it is a word for it (KO,
 * CRISPRi, shRNA, OE, drug …); TESS_CONTROL of the control; else "perturbation". Own of the caller.
 */
char *tess_target_type(const char *symbol);

/* Is there more of the target then, and not less? By its type: CRISPRa, OE, ORF, cDNA,
 * overexpression, in any case of the letters. */
int tess_target_is_gain(const char *symbol);

#endif
