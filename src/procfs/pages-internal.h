/* Shared by the files of pages.h only. */
#pragma once

#include "procfs/pages.h"

/* Whether the memory that pagemap_fd was opened on still exists. */
bool pages_alive(int pagemap_fd);

/* The sentence for memory that has gone; returns -ESRCH. */
int pages_gone(const struct page_source *source, struct why *why) must_check;

/*
 * Moves a sparse cursor's rest.start to the next page worth reading and gives the end of that stretch;
 * rest becomes empty where there is none.
 */
int pages_sparse_seek(struct page_cursor *cursor, remote_addr *ret_end, struct why *why) must_check;

/* Tells a sparse cursor what was met in the stretch it is in. */
void pages_sparse_met(struct page_cursor *cursor, struct page_run run);
