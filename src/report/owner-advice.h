/* What can be done about memory of a recognised allocator or runtime that residue does not decode. */
#pragma once

#include "report/advice.h"

/* NULL where nothing is known to help. */
const struct advice *owner_advice_for(const struct explanation *explanation, const struct unexplained_owner *owner);

/* Whether who is named so holds enough of the process, in all, for advice to be worth a reader's time. */
bool owner_is_large(const struct explanation *explanation, const struct unexplained_owner *owner);
