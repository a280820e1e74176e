/* dose.c -- amounts, times, and doses at the end of a symbol. What is read is spelled in one way,
 * which is read as the same and spelled so again. The first byte says which. */
#include "fuzz.h"

#include "tessera/alloc.h"
#include "tessera/dose.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

const int fuzz_needs = FUZZ_NOTHING;

static const char *const units[] = {NULL, "uM", "ug/mL", "h", "", "furlong"};

/* Nine digits are kept. */
static int near(double a, double b)
{
    return fabs(a - b) <= 1e-8 * fabs(a);
}

static void spell(const char *name, size_t length, const struct tess_dose *dose)
{
    char *once = tess_dose_name(name, length, dose), *twice;
    struct tess_dose back;

    FUZZ_CHECK(tess_dose_read(once, &back));
    FUZZ_CHECK(back.length == length && strncmp(once, name, length) == 0);
    FUZZ_CHECK(back.kind == dose->kind && near(dose->amount, back.amount));
    FUZZ_CHECK(near(dose->hours, back.hours));
    twice = tess_dose_name(once, back.length, &back);
    FUZZ_CHECK(strcmp(once, twice) == 0);
    tess_free(once);
    tess_free(twice);
}

void fuzz_one(const uint8_t *data, size_t n)
{
    unsigned chosen = fuzz_take(&data, &n);
    const char *unit = units[chosen / 3 % 6];
    char *text = fuzz_text(data, n);
    struct tess_dose dose = {.length = 0};
    double hours = 0;

    if (chosen % 3 == 0) {
        if (tess_dose_read(text, &dose)) {
            FUZZ_CHECK(dose.length < strlen(text) && text[dose.length] == TESS_DOSE_MARK);
            FUZZ_CHECK(dose.amount > 0 && isfinite(dose.amount) && dose.hours >= 0);
            spell(text, dose.length, &dose);
        }
    } else if (chosen % 3 == 1) {
        if (tess_dose_amount(text, unit, &dose)) {
            FUZZ_CHECK(isfinite(dose.amount));
            if (dose.amount > 0)
                spell("drug", 4, &dose);
        }
    } else if (tess_dose_hours(text, unit, &hours))
        FUZZ_CHECK(isfinite(hours));
    free(text);
}
