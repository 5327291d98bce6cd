/*
 * The points between which `residue keep` writes down and changes, so that tests can end this program at each of them.
 *
 * Test hook: with RESIDUE_TEST_DIE_IN_KEEP=N in the environment this program kills itself (SIGKILL), and the process
 * that holds the target for it, at the Nth such point.
 */
#pragma once

void keep_point(void);
