/* Real programs: what they are must be seen, with the version that they tell themselves, and
 * nothing else. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "elf/file.h"
#include "runtime-victims.h"
#include "runtime/test-programs.h"

#ifndef VICTIM_MUSL
#define VICTIM_MUSL        NULL
#define VICTIM_MUSL_STATIC NULL
#endif
#ifndef VICTIM_GO
#define VICTIM_GO          NULL
#define VICTIM_GO_STRIPPED NULL
#define VICTIM_GO_PIE      NULL
#endif

/* The one owner there is, with the version that the program's first line tells behind `before` and
 * up to `end`. */
static void check_only(const struct program *program, const char *name, const char *before,
                       const char *end)
{
    char version[PROGRAM_LINE];
    const struct owner *owner = program_owner(program, name);

    assert_int_equal(program->owners.count, 1);
    assert_int_equal(strncmp(program->line, before, strlen(before)), 0);
    snprintf(version, sizeof version, "%s", program->line + strlen(before));
    version[strcspn(version, end)] = '\0';
    assert_string_equal(owner->version, version);
    assert_true(owner->version[0] != '\0');
    assert_true(owner->private_anonymous);
}

static void check_program(const char *const *arguments, const char *name, const char *before,
                          const char *end, enum glibc_use glibc)
{
    struct program program;

    program_start(&program, arguments, NULL);
    check_only(&program, name, before, end);
    assert_int_equal(program.owners.glibc, glibc);
    program_end(&program);
}

static void test_nothing(void **state)
{
    struct program program;

    (void)state;
    program_start(&program, (const char *[]){"/usr/bin/tail", "-n1", "-f", "/etc/passwd", NULL},
                  NULL);
    assert_int_equal(program.owners.count, 0);
    assert_int_equal(program.owners.glibc, GLIBC_USED);
    program_end(&program);
    program_start(&program, (const char *[]){VICTIM_MALLOC, NULL}, NULL);
    assert_int_equal(program.owners.count, 0);
    assert_int_equal(program.owners.glibc, GLIBC_USED);
    program_end(&program);
}

/* This program has all tables and needles in it. */
static void test_ourselves(void **state)
{
    struct procfs procfs;
    struct maps maps;
    struct elf_images images = {0};
    struct owners owners;

    (void)state;
    assert_int_equal(procfs_open(&procfs, "/", NULL), 0);
    assert_int_equal(maps_read(&procfs, getpid(), &maps, NULL), 0);
    assert_int_equal(elf_images_open(&procfs, getpid(), &maps, NULL, &images, NULL), 0);
    assert_int_equal(owners_recognise(&images, &maps, NULL, &owners), 0);
    for (size_t i = 0; i < owners.count; i++)
        assert_non_null(strstr(owners.items[i].name, "Sanitizer"));
    owners_free(&owners);
    elf_images_close(&images);
    maps_free(&maps);
    procfs_close(&procfs);
}

#ifndef VICTIM_LINKED
#define VICTIM_LINKED NULL
#endif

/* With no symbol exported: the strings in the program tell. libc goes on with its own malloc. */
static void test_linked_jemalloc(void **state)
{
    struct program program;

    (void)state;
    need_program(VICTIM_LINKED, "static jemalloc");
    program_start(&program, (const char *[]){VICTIM_LINKED, NULL}, NULL);
    assert_int_equal(program.owners.count, 1);
    const struct owner *owner = program_owner(&program, "jemalloc");
    assert_true(owner->linked_in);
    assert_true(owner->private_anonymous);
    assert_in_range(owner->version[0], '1', '9');
    assert_int_equal(program.owners.glibc, GLIBC_USED);
    program_end(&program);
}

static void check_preloaded(const char *library, const char *name, const char *before,
                            const char *end)
{
    const char *path = need_library(library);
    struct program program;

    program_start(&program, (const char *[]){VICTIM_MALLOC, NULL}, path);
    check_only(&program, name, before, end);
    assert_false(program_owner(&program, name)->linked_in);
    assert_int_equal(program.owners.glibc, GLIBC_UNUSED);
    program_end(&program);
}

static void test_jemalloc(void **state)
{
    (void)state;
    check_preloaded("libjemalloc.so.2", "jemalloc", "", "-");
}

static void test_mimalloc(void **state)
{
    (void)state;
    check_preloaded("libmimalloc.so.2.0", "mimalloc", "", " ");
}

static void test_tcmalloc_minimal(void **state)
{
    (void)state;
    check_preloaded("libtcmalloc_minimal.so.4", "gperftools tcmalloc", "gperftools ", "");
}

static void test_tcmalloc(void **state)
{
    (void)state;
    check_preloaded("libtcmalloc.so.4", "gperftools tcmalloc", "gperftools ", "");
}

/* Without memory to read, nobody can say whose malloc is in use. */
static void test_glibc_maybe(void **state)
{
    const char *path = need_library("libjemalloc.so.2");
    struct program program;
    struct owners owners;

    (void)state;
    program_start(&program, (const char *[]){VICTIM_MALLOC, NULL}, path);
    assert_int_equal(owners_recognise(&program.images, &program.maps, NULL, &owners), 0);
    assert_int_equal(owners.count, 1);
    assert_int_equal(owners.glibc, GLIBC_MAYBE);
    owners_free(&owners);
    program_end(&program);
}

/* Its loader, run as a program, tells the version. */
static void musl_version(char version[32])
{
    FILE *loader = popen("/lib/ld-musl-x86_64.so.1 2>&1", "r");
    char line[256];

    version[0] = '\0';
    assert_non_null(loader);
    while (fgets(line, sizeof line, loader))
        sscanf(line, "Version %31s", version);
    pclose(loader);
}

static void test_musl(void **state)
{
    struct program program;
    char version[32];

    (void)state;
    need_program(VICTIM_MUSL, "musl-gcc");
    program_start(&program, (const char *[]){VICTIM_MUSL, NULL}, NULL);
    musl_version(version);
    assert_int_equal(program.owners.count, 1);
    assert_string_equal(program_owner(&program, "musl malloc")->version, version);
    assert_int_equal(program.owners.glibc, GLIBC_ABSENT);
    program_end(&program);
}

/* Nothing in it tells whose its malloc is, and nothing may be guessed: not glibc's either, whether
 * the vDSO could be read or not. */
static void test_static_musl(void **state)
{
    struct program program;
    struct owners owners;

    (void)state;
    need_program(VICTIM_MUSL_STATIC, "musl-gcc");
    program_start(&program, (const char *[]){VICTIM_MUSL_STATIC, NULL}, NULL);
    assert_int_equal(program.owners.count, 0);
    assert_int_equal(program.owners.glibc, GLIBC_ABSENT);
    for (size_t i = 0; i < program.images.count; i++)
        if (strcmp(program.images.items[i].path, "[vdso]") == 0)
            elf_image_detach(&program.images.items[i]);
    assert_int_equal(owners_recognise(&program.images, &program.maps, NULL, &owners), 0);
    assert_int_equal(owners.count, 0);
    assert_int_equal(owners.glibc, GLIBC_ABSENT);
    owners_free(&owners);
    program_end(&program);
}

static void check_mimalloc_version(const char *library, const char *version)
{
    struct program program;

    program_start(&program, (const char *[]){VICTIM_MALLOC, NULL}, library);
    assert_int_equal(program.owners.count, 1);
    assert_string_equal(program_owner(&program, "mimalloc")->version, version);
    assert_int_equal(program.owners.glibc, GLIBC_USED); /* it defines no malloc */
    program_end(&program);
}

static void test_mimalloc_versions(void **state)
{
    (void)state;
    check_mimalloc_version(MI_VERSION_209, "2.0.9");
    check_mimalloc_version(MI_VERSION_20401, "2.4.1");
    check_mimalloc_version(MI_VERSION_5000, "");
}

/* Engines of which nothing is exported; only one of the two has its version among the constants. */
static void test_embedded_engines(void **state)
{
    struct program program;

    (void)state;
    program_start(&program, (const char *[]){VICTIM_EMBEDDED, NULL}, NULL);
    assert_int_equal(program.owners.count, 2);
    assert_string_equal(program_owner(&program, "V8")->version, program.line);
    assert_true(program_owner(&program, "V8")->linked_in);
    assert_string_equal(program_owner(&program, "JavaScriptCore")->version, "");
    assert_int_equal(program.owners.glibc, GLIBC_USED);
    program_end(&program);
}

#define PYTHON "/usr/bin/python3"
#define SAY    "import sys; print(sys.version.split()[0], flush=True); sys.stdin.read()"

static void test_cpython(void **state)
{
    (void)state;
    need_program(PYTHON, "python3");
    check_program((const char *[]){PYTHON, "-c", SAY, NULL}, "CPython", "", "+", GLIBC_USED);
}

/* One that is not position independent: malloc's address is in its own PLT there. */
static void test_cpython_on_jemalloc(void **state)
{
    const char *path = need_library("libjemalloc.so.2");
    struct program program;

    (void)state;
    need_program(PYTHON, "python3");
    program_start(&program, (const char *[]){PYTHON, "-c", SAY, NULL}, path);
    assert_int_equal(program.owners.count, 2);
    program_owner(&program, "CPython");
    program_owner(&program, "jemalloc");
    assert_int_equal(program.owners.glibc, GLIBC_UNUSED);
    program_end(&program);
}

static void test_ruby(void **state)
{
    (void)state;
    need_program("/usr/bin/ruby", "ruby");
    check_program(
        (const char *[]){"/usr/bin/ruby", "-e", "puts RUBY_VERSION; $stdout.flush; gets", NULL},
        "Ruby", "", "", GLIBC_USED);
}

static void test_node(void **state)
{
    (void)state;
    need_program("/usr/bin/node", "node");
    check_program((const char *[]){"/usr/bin/node", "-e",
                                   "console.log(process.versions.v8); process.stdin.resume()",
                                   NULL},
                  "V8", "", "", GLIBC_USED);
}

#define JAVA                                                                                       \
    "public class Version { public static void main(String[] a) throws Exception {"                \
    " System.out.println(System.getProperty(\"java.vm.version\")); System.in.read(); } }"

/* Java 11 and later run a source file. */
static void test_hotspot(void **state)
{
    char folder[] = "/tmp/residue-java-XXXXXX", path[64];

    (void)state;
    need_program("/usr/bin/javac", "JDK");
    assert_non_null(mkdtemp(folder));
    snprintf(path, sizeof path, "%s/Version.java", folder);
    FILE *source = fopen(path, "w");
    assert_non_null(source);
    fputs(JAVA, source);
    fclose(source);
    check_program((const char *[]){"/usr/bin/java", path, NULL}, "HotSpot", "", "", GLIBC_USED);
    unlink(path);
    rmdir(folder);
}

static void test_luajit(void **state)
{
    (void)state;
    need_program("/usr/bin/luajit", "luajit");
    check_program((const char *[]){"/usr/bin/luajit", "-e",
                                   "print(jit.version) io.stdout:flush() io.read()", NULL},
                  "LuaJIT", "LuaJIT ", "", GLIBC_USED);
}

static void test_php(void **state)
{
    (void)state;
    need_program("/usr/bin/php", "php");
    check_program((const char *[]){"/usr/bin/php", "-n", "-r",
                                   "echo PHP_VERSION, \"\\n\"; fgets(STDIN);", NULL},
                  "PHP", "", "-", GLIBC_USED);
}

#define ERLANG "io:format(\"~s~n\", [erlang:system_info(otp_release)]), timer:sleep(infinity)."

/* `erl` is a script that ends in it. */
static void test_erlang(void **state)
{
    (void)state;
    need_program("/usr/bin/erl", "erlang");
    check_program((const char *[]){"/usr/bin/erl", "-noinput", "-eval", ERLANG, NULL}, "Erlang", "",
                  "", GLIBC_USED);
}

/* It takes nothing of malloc's over. */
static void test_boehm_gc(void **state)
{
    const char *path = need_library("libgc.so.1");
    struct program program;

    (void)state;
    program_start(&program, (const char *[]){VICTIM_MALLOC, NULL}, path);
    check_only(&program, "Boehm GC", "", "");
    assert_int_equal(program.owners.glibc, GLIBC_USED);
    program_end(&program);
}

static void test_go(void **state)
{
    (void)state;
    need_program(VICTIM_GO, "Go");
    check_program((const char *[]){VICTIM_GO, NULL}, "Go", "go", " ", GLIBC_ABSENT);
    check_program((const char *[]){VICTIM_GO_STRIPPED, NULL}, "Go", "go", " ", GLIBC_ABSENT);
    check_program((const char *[]){VICTIM_GO_PIE, NULL}, "Go", "go", " ", GLIBC_ABSENT);
}

static void test_mapping_names(void **state)
{
    static const char text[] = "10000-20000 rw-p 00000000 00:00 0 [anon: Go: heap]\n"
                               "20000-30000 rw-p 00000000 00:00 0 [anon:tcmalloc_region_NORMAL]\n"
                               "30000-40000 rw-p 00000000 00:00 0 [anon:tcmalloc_region_COLD]\n"
                               "40000-50000 rw-p 00000000 00:00 0 [anon: glibc: malloc arena]\n"
                               "50000-60000 rw-p 00000000 00:00 0 [anon:mine]\n";
    struct elf_images images = {0};
    struct owners owners;
    struct maps maps;

    (void)state;
    assert_int_equal(maps_parse(text, strlen(text), &maps, NULL), 0);
    assert_int_equal(owners_recognise(&images, &maps, NULL, &owners), 0);
    assert_int_equal(owners.count, 2);
    assert_string_equal(owners.items[0].name, "Go");
    assert_string_equal(owners.items[1].name, "tcmalloc");
    assert_string_equal(owner_by_mapping_name("[anon: glibc: malloc]"), "glibc");
    assert_null(owner_by_mapping_name("[anon:mine]"));
    assert_null(owner_by_mapping_name("[heap]"));
    assert_null(owner_by_mapping_name(""));
    owners_free(&owners);
    maps_free(&maps);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_nothing),
        cmocka_unit_test(test_ourselves),
        cmocka_unit_test(test_jemalloc),
        cmocka_unit_test(test_mimalloc),
        cmocka_unit_test(test_tcmalloc_minimal),
        cmocka_unit_test(test_tcmalloc),
        cmocka_unit_test(test_linked_jemalloc),
        cmocka_unit_test(test_glibc_maybe),
        cmocka_unit_test(test_musl),
        cmocka_unit_test(test_static_musl),
        cmocka_unit_test(test_mimalloc_versions),
        cmocka_unit_test(test_embedded_engines),
        cmocka_unit_test(test_cpython),
        cmocka_unit_test(test_cpython_on_jemalloc),
        cmocka_unit_test(test_ruby),
        cmocka_unit_test(test_node),
        cmocka_unit_test(test_hotspot),
        cmocka_unit_test(test_luajit),
        cmocka_unit_test(test_php),
        cmocka_unit_test(test_erlang),
        cmocka_unit_test(test_boehm_gc),
        cmocka_unit_test(test_go),
        cmocka_unit_test(test_mapping_names),
    };

    return cmocka_run_group_tests_name("runtime-recognise", tests, NULL, NULL);
}
