#include "inject/journal.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <syslog.h>
#include <time.h>
#include <unistd.h>

#include "base/cleanup.h"

/* The path of a socket has 108 bytes at most, so that of the root goes by its descriptor. */
static void send_line(const struct procfs *procfs, const char *line, size_t length)
{
    auto_close int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    struct sockaddr_un log = {.sun_family = AF_UNIX};

    snprintf(log.sun_path, sizeof log.sun_path, "/proc/self/fd/%d/dev/log", procfs->root_fd);
    if (fd >= 0)
        sendto(fd, line, length, MSG_DONTWAIT | MSG_NOSIGNAL, (const struct sockaddr *)&log,
               sizeof log);
}

/* "<85>Nov 29 18:05:09 residue[123]: ", whatever the locale. */
static size_t write_head(char *line, size_t size)
{
    static const char months[] = "JanFebMarAprMayJunJulAugSepOctNovDec";
    time_t now = time(NULL);
    struct tm tm;
    int length;

    localtime_r(&now, &tm);
    length = snprintf(
        line, size, "<%d>%.3s %2d %02d:%02d:%02d residue[%d]: ", LOG_AUTHPRIV | LOG_NOTICE,
        months + 3 * tm.tm_mon, tm.tm_mday, tm.tm_hour, tm.tm_min, tm.tm_sec, (int)getpid());
    return length > 0 && (size_t)length < size ? (size_t)length : 0;
}

/* A process chooses its own name: it must not be able to write lines of its own. */
static void make_printable(char *text)
{
    for (; *text; text++)
        if ((unsigned char)*text < ' ' || *text == 0x7f)
            *text = '?';
}

void journal_write(const struct procfs *procfs, const char *format, ...)
{
    char line[600];
    size_t head = write_head(line, sizeof line);
    va_list args;

    va_start(args, format);
    vsnprintf(line + head, sizeof line - head, format, args);
    va_end(args);
    make_printable(line + head);
    send_line(procfs, line, strlen(line));
}

static const char *name_of(long number)
{
    static const struct {
        long number;
        const char *name;
    } names[] = {
        {SYS_mmap, "mmap"},       {SYS_munmap, "munmap"},
        {SYS_madvise, "madvise"}, {SYS_mremap, "mremap"},
        {SYS_prctl, "prctl"},     {SYS_futex, "futex"},
        {SYS_getpid, "getpid"},   {SYS_process_madvise, "process_madvise"},
    };

    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (names[i].number == number)
            return names[i].name;
    return NULL;
}

void journal_call(const struct target *target, const struct remote_call *call)
{
    const char *name = name_of(call->number);
    const uint64_t *a = call->arguments;
    char number[40];

    snprintf(number, sizeof number, "system call %ld", call->number);
    journal_write(target->procfs,
                  "has process %d (%s) call %s(0x%llx, 0x%llx, 0x%llx, 0x%llx, 0x%llx, 0x%llx)",
                  (int)target->pid, target->status.comm, name ? name : number,
                  (unsigned long long)a[0], (unsigned long long)a[1], (unsigned long long)a[2],
                  (unsigned long long)a[3], (unsigned long long)a[4], (unsigned long long)a[5]);
}
