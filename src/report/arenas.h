/* --arenas: a table of all arenas, and one of the size classes that hold most. */
#pragma once

#include "report/page.h"

/* Of page->e. 0 or -ENOMEM. */
int page_arenas(struct page *page) must_check;
int page_size_classes(struct page *page) must_check;
