#include "runtime/test-programs.h"

#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

void need_program(const char *path, const char *what)
{
    if (path && access(path, X_OK) == 0)
        return;
    print_message("skipped: no %s on this machine (./setup.sh installs it)\n", what);
    skip();
}

const char *need_library(const char *name)
{
    static const char *const folders[] = {"/usr/lib/x86_64-linux-gnu", "/usr/lib64", "/usr/lib",
                                          "/usr/local/lib"};
    static char path[256];

    for (size_t i = 0; i < sizeof folders / sizeof *folders; i++) {
        snprintf(path, sizeof path, "%s/%s", folders[i], name);
        if (access(path, R_OK) == 0)
            return path;
    }
    print_message("skipped: no %s on this machine (./setup.sh installs it)\n", name);
    skip();
    return NULL;
}

static void become(const char *const *arguments, const char *preload, int input, int output)
{
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    dup2(input, STDIN_FILENO);
    dup2(output, STDOUT_FILENO);
    unsetenv("LD_PRELOAD");
    if (preload)
        setenv("LD_PRELOAD", preload, 1);
    execv(arguments[0], (char *const *)(uintptr_t)arguments);
    _exit(127);
}

static void read_line(struct program *program)
{
    size_t length = 0;

    while (length < PROGRAM_LINE - 1 && read(program->output, program->line + length, 1) == 1 &&
           program->line[length] != '\n')
        length++;
    program->line[length] = '\0';
    if (length == 0)
        fail_msg("the program said nothing");
}

static void look(struct program *program)
{
    struct why why = {{0}};

    assert_int_equal(procfs_open(&program->procfs, "/", &why), 0);
    assert_int_equal(maps_read(&program->procfs, program->pid, &program->maps, &why), 0);
    assert_int_equal(live_memory_open(&program->memory, &program->procfs, program->pid, &why), 0);
    assert_int_equal(elf_images_open(&program->procfs, program->pid, &program->maps,
                                     &program->memory.memory, &program->images, &why),
                     0);
    assert_int_equal(owners_recognise(&program->images, &program->maps, &program->memory.memory,
                                      &program->owners),
                     0);
}

void program_start(struct program *program, const char *const *arguments, const char *preload)
{
    int input[2], output[2];

    *program = (struct program){0};
    assert_int_equal(pipe2(input, O_CLOEXEC), 0);
    assert_int_equal(pipe2(output, O_CLOEXEC), 0);
    program->pid = fork();
    assert_true(program->pid >= 0);
    if (program->pid == 0)
        become(arguments, preload, input[0], output[1]);
    close(input[0]);
    close(output[1]);
    program->input = input[1];
    program->output = output[0];
    read_line(program);
    look(program);
}

void program_end(struct program *program)
{
    kill(program->pid, SIGKILL);
    waitpid(program->pid, NULL, 0);
    close(program->input);
    close(program->output);
    owners_free(&program->owners);
    elf_images_close(&program->images);
    live_memory_close(&program->memory);
    maps_free(&program->maps);
    procfs_close(&program->procfs);
}

const struct owner *program_owner(const struct program *program, const char *name)
{
    const struct owner *found = NULL;

    for (size_t i = 0; i < program->owners.count; i++)
        if (strcmp(program->owners.items[i].name, name) == 0) {
            assert_null(found);
            found = &program->owners.items[i];
        }
    if (!found)
        fail_msg("%s was not recognised", name);
    return found;
}
