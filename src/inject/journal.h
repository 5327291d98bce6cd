/*
 * What is done to processes is written to syslog: facility authpriv, level notice.
 *
 * To /dev/log, below the root that `procfs` stands for, as syslog(3) writes it; but never waiting, since a process may be
 * held meanwhile. Where nobody listens, or too much is waiting to be read, the line is lost.
 */
#pragma once

#include "inject/inject.h"

void journal_write(const struct procfs *procfs, const char *format, ...) printf_like(2, 3);

/* One line for a call that `target` is about to be made to make. */
void journal_call(const struct target *target, const struct remote_call *call);
