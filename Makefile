# A front for setup.sh and meson, which do the work. Every build has a directory of its own.
#
#   make            build/src/cmd/residue
#   make demo       explain a Python process that dropped its data and kept the memory
#   make test       everything: all tests with gcc, the quick ones with clang and under ASan and UBSan, the static program,
#                   a short run of each fuzzer
#   make static     build-static/src/cmd/residue, which needs no libraries where it runs
#   make install    to PREFIX (/usr/local); honours DESTDIR
#
# Also: clang and sanitize (all tests in those builds), fuzz (each fuzzer for FUZZ_SECONDS), kernels (the static program
# on old kernels, in virtual machines: ./setup.sh kernels), soak (ROUNDS looks at busy programs, CHAOS rounds of calls that
# are injected, KILLS kills of whoever does it, all tests SOAK times, and kernels), bench (how long looks and pauses take,
# and how much memory), check-format, format, clean.

PREFIX ?= /usr/local
SOAK ?= 20
ROUNDS ?= 1000
CHAOS ?= 10000
KILLS ?= 2000
FUZZ_SECONDS ?= 3600
FUZZ_STATE ?= /var/tmp/residue-fuzz-$(shell id -u)
quick_suites = --suite unit --suite cli
run_tests = meson test --print-errorlogs

# $(call configure,DIRECTORY,ENVIRONMENT,OPTIONS)
configure = test -f $(1)/build.ninja || $(2) meson setup $(1) $(3)
configure_gcc = $(call configure,build,,)
configure_clang = $(call configure,build-clang,CC=clang,)
configure_sanitize = $(call configure,build-sanitize,,-Db_sanitize=address$(comma)undefined)
configure_fuzz = $(call configure,build-fuzz,CC=clang,-Dfuzz=true -Dtests=disabled -Dman=disabled \
	-Db_lundef=false -Db_sanitize=address$(comma)undefined)
configure_static = $(call configure,build-static,,-Dstatic=true)
comma = ,

.PHONY: all demo test clang sanitize static fuzz kernels soak bench install check-format format clean \
	setup setup-test test-gcc test-clang test-sanitize test-static test-fuzz soak-rounds soak-chaos soak-tests

all: setup
	@$(call configure,build,,-Dtests=auto)
	ninja -C build

demo: all
	@scripts/demo.sh build/src/cmd/residue

# Every part runs, whatever becomes of the others, so that one failure does not hide the next.
test: setup-test
	@rm -f build*/meson-logs/testlog.json
	@$(MAKE) --no-print-directory --keep-going test-gcc test-clang test-sanitize test-static test-fuzz; made=$$?; echo; \
		scripts/summarise-tests.py build build-clang build-sanitize build-static build-fuzz && exit $$made

test-gcc: setup-test
	@$(configure_gcc)
	@meson configure build -Dtests=enabled
	ninja -C build
	$(run_tests) -C build

test-clang: setup-test
	@$(configure_clang)
	ninja -C build-clang
	$(run_tests) -C build-clang $(quick_suites)

test-sanitize: setup-test
	@$(configure_sanitize)
	ninja -C build-sanitize
	$(run_tests) -C build-sanitize $(quick_suites)

test-static: setup-test
	@$(configure_static)
	ninja -C build-static
	$(run_tests) -C build-static --suite cli

# A short run of each fuzzer, always the same one. The kept inputs are replayed by the unit tests of every build.
test-fuzz: setup-test
	@$(configure_fuzz)
	ninja -C build-fuzz
	$(run_tests) -C build-fuzz --suite fuzz

clang: setup-test
	@$(configure_clang)
	ninja -C build-clang
	$(run_tests) -C build-clang

sanitize: setup-test
	@$(configure_sanitize)
	ninja -C build-sanitize
	$(run_tests) -C build-sanitize

static: setup
	@$(call configure,build-static,,-Dstatic=true -Dtests=auto)
	ninja -C build-static
	@ls -l build-static/src/cmd/residue

# Each fuzzer for FUZZ_SECONDS, as many at a time as there are processors.
fuzz: setup-test
	@$(configure_fuzz)
	ninja -C build-fuzz
	tests/fuzz/fuzz.py --seconds $(FUZZ_SECONDS) --state $(FUZZ_STATE) build-fuzz/tests/fuzz

kernels: static
	tests/kernels/run.sh build-static/src/cmd/residue build-static/tests/victims/heap-victim \
		build-static/tests/victims/chaos-victim build-static/tests/tools/inject-calls build-static/kernels

# Every part runs, whatever becomes of the others.
soak: setup-test
	@$(MAKE) --no-print-directory --keep-going soak-rounds soak-chaos soak-tests kernels

soak-rounds: setup-test
	@$(configure_gcc)
	@meson configure build -Dtests=enabled
	RESIDUE_ROUNDS=$(ROUNDS) $(run_tests) -C build --timeout-multiplier 20 churn

soak-chaos: setup-test
	@$(configure_gcc)
	@meson configure build -Dtests=enabled
	RESIDUE_CHAOS_ROUNDS=$(CHAOS) RESIDUE_CHAOS_KILLS=$(KILLS) $(run_tests) -C build --timeout-multiplier 20 chaos keep

# Every heap with every C library; one that cannot be had fails here instead of being skipped.
soak-tests: setup-test
	@$(configure_gcc)
	@meson configure build -Dtests=enabled
	RESIDUE_REQUIRE_GLIBCS=1 RESIDUE_THOROUGH=1 $(run_tests) -C build --timeout-multiplier 6 --repeat $(SOAK)

install: all
	@meson configure build --prefix '$(PREFIX)'
	meson install -C build --strip

check-format: setup-test
	@git ls-files '*.c' | xargs clang-format --dry-run --Werror

format: setup-test
	@git ls-files '*.c' | xargs clang-format -i

clean:
	rm -rf build build-clang build-sanitize build-static build-fuzz

bench: setup-test
	@$(configure_gcc)
	ninja -C build
	@for script in walk pause memory; do \
		bench/$$script.py build/src/cmd/residue && echo || exit 1; \
	done
