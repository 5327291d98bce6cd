/* Scope-bound release, by the compiler's cleanup attribute. */
#pragma once

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define cleanup(function) __attribute__((cleanup(function)))

static inline void cleanup_free_pointer(void *pointer)
{
    free(*(void **)pointer);
}

static inline void cleanup_close_fd(int *fd)
{
    if (*fd >= 0)
        close(*fd);
}

static inline void cleanup_close_file(FILE **file)
{
    if (*file)
        fclose(*file);
}

static inline void cleanup_close_dir(DIR **dir)
{
    if (*dir)
        closedir(*dir);
}

#define auto_free      cleanup(cleanup_free_pointer)
#define auto_close     cleanup(cleanup_close_fd)
#define auto_fclose    cleanup(cleanup_close_file)
#define auto_closedir  cleanup(cleanup_close_dir)
