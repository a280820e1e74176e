/* state_rules.h -- what the numbers of a checkpoint must be, for the table in state.c. */
#ifndef TESSERA_MODEL_STATE_RULES_H
#define TESSERA_MODEL_STATE_RULES_H

#include "tessera/state.h"

extern const struct tess_state_rule tess_rule_any, tess_rule_trait, tess_rule_finite,
    tess_rule_shift, tess_rule_scale, tess_rule_center, tess_rule_spread, tess_rule_first_moment,
    tess_rule_second_moment, tess_rule_flag, tess_rule_rate, tess_rule_step, tess_rule_last,
    tess_rule_core, tess_rule_settings, tess_rule_epoch, tess_rule_step_in_epoch,
    tess_rule_best_epoch, tess_rule_best_step, tess_rule_best_score, tess_rule_loss,
    tess_rule_measured;

#endif
