/* What to start a program with, so that what a finding is about does not come back. */
#pragma once

#include "explain/explanation.h"

struct advice {
    const char *setting; /* ready to be copied; NULL: there is none */
    const char *effect;  /* what it does and what it costs, after `setting` */
};

/* NULL where no setting is known to help, or where it is set already. */
const struct advice *advice_for(const struct explanation *explanation, const struct finding *finding);
