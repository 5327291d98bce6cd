/* Versions out of the constants that a program carries. */
#pragma once

#include "elf/image.h"

enum { VERSION_BYTES = 32 };

/*
 * Puts text[0, length) into `version`, if it can be one: it begins with a digit, has letters, digits and . - + ~ _ : only,
 * and fits; else false. Foreign text may hold anything.
 */
bool version_keep(const char *text, size_t length, char *version);

/*
 * Puts what follows `first` and `after` in a constant, up to the first of the characters `end` or the constant's end,
 * into `version`; version_keep() decides whether that is one. `first` stands apart so that this program does not itself carry
 * what it looks for. `version` stays as it is when there is none, here and below.
 */
void version_after(struct elf_image *image, char first, const char *after, const char *end, char *version);

/*
 * A constant that is numbers with `points` points between them, and no other such one contradicts it. With a `start`
 * that is not "", only those that begin so, also where they are the end of a longer text.
 */
void version_alone(struct elf_image *image, const char *start, unsigned points, char *version);

/* The release's part of what git describe --long tells of it: "5.3.0-0-g54eaed1d8b56b1aa528be3bdd1877e59c56fa90c". */
void version_git(struct elf_image *image, char *version);

/*
 * As version_alone, followed by `suffix`, and by a number where that ends with a point; both are part of the version:
 * "11.3.244.8-node.33", "15.0.245.2-rusty".
 */
void version_suffixed(struct elf_image *image, unsigned points, const char *suffix, char *version);
