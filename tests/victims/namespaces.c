/* A second C library in a link-map namespace of its own, with a malloc of its own. */
#include <dlfcn.h>
#include <stdlib.h>

#include "book.h"
#include "factories.h"
#include "say.h"

enum { KIB = 1024 };

static void *(*other_malloc)(size_t);
static void (*other_free)(void *);

static void load_other(void)
{
    void *handle = dlmopen(LM_ID_NEWLM, "libc.so.6", RTLD_NOW);

    if (!handle)
        fail("%s", dlerror());
    *(void **)&other_malloc = dlsym(handle, "malloc");
    *(void **)&other_free = dlsym(handle, "free");
    if (!other_malloc || !other_free)
        fail("%s", dlerror());
}

/* What the other malloc gave is kept; some of it goes at once, to leave holes and full caches. */
static void other_body(unsigned thread)
{
    struct numbers numbers = numbers_for(thread);
    struct book *book = book_of(thread);

    for (unsigned i = 0; i < 3000; i++) {
        size_t size = i % 500 == 499 ? 200 * KIB : number_by_doublings(&numbers, 16, 8 * KIB);
        unsigned char *address = other_malloc(size);

        if (i % 3 == 1)
            other_free(address);
        else
            book_enter(book, address, size);
    }
}

static void both_body(unsigned thread)
{
    mixed_body(thread);
    other_body(thread + 10);
}

void build_namespaces(const char *argument)
{
    load_other();
    both_body(0);
    run_threads(2, 2, both_body);
}
