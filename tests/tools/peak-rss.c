/*
 * usage: peak-rss COMMAND [ARGUMENT...]
 *
 * Runs it and tells its peak resident set as the last line of standard error: "peak-rss BYTES". A
 * process begins with the peak of the one that it was forked from, which for a script's interpreter
 * is more than residue ever takes; this one is small.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

enum { CANNOT = 125 };

static int cannot(const char *what)
{
    fprintf(stderr, "peak-rss: %s: %s\n", what, strerror(errno));
    return CANNOT;
}

int main(int argc, char **argv)
{
    struct rusage usage;
    pid_t child;
    int status;

    if (argc < 2) {
        fprintf(stderr, "usage: peak-rss COMMAND [ARGUMENT...]\n");
        return CANNOT;
    }
    child = fork();
    if (child < 0)
        return cannot("fork");
    if (child == 0) {
        execvp(argv[1], argv + 1);
        _exit(cannot(argv[1]));
    }
    if (wait4(child, &status, 0, &usage) != child)
        return cannot("wait4");
    fprintf(stderr, "peak-rss %ld\n", usage.ru_maxrss * 1024);
    return WIFEXITED(status) ? WEXITSTATUS(status) : CANNOT;
}
