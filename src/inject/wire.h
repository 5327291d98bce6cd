/*
 * The only way by which this folder asks ptrace for anything or writes into a process: so that tests can end this program
 * at each of these points.
 *
 * Test hook: with RESIDUE_TEST_DIE_AT=N in the environment this program kills itself (SIGKILL) right before the Nth such
 */
#pragma once

#include <stddef.h>
#include <sys/types.h>
#include <sys/user.h>

#include "base/error.h"
#include "base/range.h"
#include "target/target.h"

/* As ptrace(2): on the tracing thread only. 0, or negative errno. */
int wire_ptrace(int request, pid_t tid, const void *address, const void *data) must_check;

/* The same for requests that return a number: it, or negative errno. */
long wire_ask(int request, pid_t tid, const void *address, const void *data) must_check;

int wire_get_registers(pid_t tid, struct user_regs_struct *ret) must_check;

/* All of them, or none, also when this program is killed meanwhile. */
int wire_set_registers(pid_t tid, const struct user_regs_struct *registers) must_check;

/* Writes to mapped, writable memory. 0; negative errno. */
int wire_write(const struct target *target, remote_addr to, const void *from, size_t length) must_check;

/* How many requests and writes there have been so far. */
unsigned long wire_count(void);
