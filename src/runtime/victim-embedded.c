/*
 * What programs look like that have a JavaScript engine linked in, with no symbol of it: large,
 * with its constants. And as a library (ANSWER): an allocator whose version function answers that.
 */
#ifdef ANSWER

__attribute__((visibility("default"))) int mi_version(void);
int mi_version(void)
{
    return ANSWER;
}

#else

#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

static const char constants[9 << 20] = "max size of the old space (in Mbytes)\0"
                                       "15.0.245.2-rusty\0"
                                       "void JSC::DFG::SpeculativeJIT::compile(Node *)";

int main(void)
{
    char byte;

    if (mmap(NULL, 4096, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) == MAP_FAILED)
        return 1;
    printf("%s\n", constants + strlen(constants) + 1);
    fflush(stdout);
    return read(STDIN_FILENO, &byte, 1) == 0 ? 0 : 1;
}

#endif
