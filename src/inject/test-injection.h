/* A victim, held, and an injection into it, for the tests of this folder. */
#pragma once

#include "target/test-victim.h"

#include "inject/inject.h"

extern pid_t victim;
extern struct maps maps;
extern struct injection *injection;

/* Of each test: these, not victims_setup and victims_teardown. */
int injection_setup(void **state);
int injection_teardown(void **state);

/* Holds the victim, and returns what injection_open does. */
int try_open(void);
void assert_says(const char *words);
/* The victim runs `body`, and is refused with a sentence that has these words in it. */
void assert_refused(void (*body)(void), const char *words);
int call(long number, uint64_t argument, int64_t *ret_result);

/* For victims. */
void ready_and_spin(void);

#define injection_test(function) \
    cmocka_unit_test_setup_teardown(function, injection_setup, injection_teardown)
