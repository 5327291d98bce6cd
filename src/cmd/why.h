/* What `residue why` was asked for, and who does it. */
#pragma once

#include <signal.h>

#include "cmd/cmd.h"
#include "explain/explain.h"
#include "report/text.h"

struct why_options {
    pid_t pid;           /* 0: none was named */
    bool all;            /* every process */
    const char *cgroup;  /* those of this cgroup, or NULL */
    unsigned top;        /* of how many to look into the heaps, with either */
    bool has_top;        /* it was given */
    const char *compare; /* an earlier report, or NULL */
    const char *later_file; /* with it: a later report instead of a process, or NULL */
    unsigned threads;    /* for walking heaps; 0: as explain likes */
    enum explain_way way;
    bool json, no_stop, scan_small, quiet;
    bool arenas;         /* tables of them, too */
    enum color_when color;
};

/* Parses, or exits with EXIT_CODE_USAGE. */
void why_parse(int argc, char **argv, struct why_options *ret);

/* Refuses machines whose pages have another size. */
int why_check_page_size(struct why *why) must_check;

/* Explains options->pid: as explain(), or refuses this machine. */
int why_explain(const struct why_options *options, struct explanation *ret, struct why *why) must_check;

/* why-compare.c: all of `residue why --compare`; an exit code. */
int why_compare(const struct why_options *options);

struct report_style why_style(const struct why_options *options);

/* Ctrl-Z must wait: stopped ourselves, we would keep the process stopped, too. Until why_release_job_control. */
void why_hold_job_control(sigset_t *ret_old);
void why_release_job_control(const sigset_t *old);

/* why-all.c: all of `residue why --all` and --cgroup; an exit code. */
int why_all(const struct why_options *options);
