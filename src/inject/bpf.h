/* Classic BPF as seccomp runs it, for asking what a filter would say to a system call. */
#pragma once

#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"

enum { BPF_INSTRUCTIONS_MOST = 4096 }; /* BPF_MAXINSNS */

/*
 * Runs a filter: `count` instructions, which may be anything. 0 and what it returns (SECCOMP_RET_*); -EINVAL: no filter
 * that seccomp accepts (seccomp_check_filter, bpf_check_classic), as far as it was run.
 */
int bpf_run(const struct sock_filter *program, size_t count, const struct seccomp_data *data, uint32_t *ret_value)
    must_check;

/* Whether seccomp makes the call when a filter returned this. Only those that let it pass unchanged and unasked. */
bool bpf_lets_pass(uint32_t value);
