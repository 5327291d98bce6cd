/* What to start a program with, so that what a finding is about does not come back. */
#pragma once

#include "explain/explanation.h"

struct advice {
    const char *setting; /* ready to be copied; NULL: there is none */
    const char *effect;  /* what it does and what it costs, after `setting` */
};

/* A setting that depends on the process is written here. */
struct advice_text {
    char text[60];
};

/* False where no setting is known to help, or where it is set already. `text` must live as long as *ret. */
bool advice_for(const struct explanation *explanation, const struct finding *finding, struct advice_text *text,
                struct advice *ret);
