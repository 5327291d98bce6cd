/*
 * The points between which a cure does something to a process, so that tests can end this program at each of them.
 *
 * Test hook: with RESIDUE_TEST_DIE_AT=N in the environment this program kills itself (SIGKILL) at the Nth such point.
 */
#pragma once

void cure_point(void);
