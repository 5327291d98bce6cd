/* Explanations made by hand, for tests of what is told of them. */
#pragma once

#include "explain/explanation.h"
#include "report/text.h"

#define KIB UINT64_C(1024)
#define MIB (KIB * 1024)
#define GIB (MIB * 1024)

/* A Python that dropped its data: two arenas, a finding, a refusal. Release with explanation_free. */
struct explanation typical_explanation(void);

/* A process of which nothing could be decoded. */
struct explanation opaque_explanation(void);

/* Sets RSS to what the ledger adds up to. */
void balance(struct explanation *e);

void add_owner(struct explanation *e, const char *name, const char *version, uint64_t bytes);
void add_arena(struct explanation *e, struct heap_arena arena, struct arena_tally tally);
struct finding *add_finding(struct explanation *e, const char *id, uint64_t bytes, const char *because);
void add_cure(struct finding *finding, const char *name, uint64_t rss_bytes, uint64_t charge_bytes);
void add_setting(struct explanation *e, const char *name, const char *value, enum in_force in_force, const char *reason);
void add_refusal(struct explanation *e, const char *what, const char *reason);

/* What the reports print, in fresh memory. */
char *text_of(const struct explanation *e, struct report_style style);
char *json_of(const struct explanation *e);

/* Printed lines, newline excluded, one after the other: moves *rest on; false at the end. */
struct line {
    char text[1024];
};
bool next_line(const char **rest, struct line *ret);
