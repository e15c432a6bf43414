# SPDX-License-Identifier: GPL-2.0-or-later
# What people type. The build itself is meson's: this file only names the steps (make help).

B       ?= build
PREFIX  ?= /usr/local
DESTDIR ?=
FRESH   ?=
CPUS    ?= 1
MEMORY  ?= 512M
ARGS    ?=

# What meson found is only worth reading when it did not find something.
SETUP = out=$$(meson setup $(B) .) || { echo "$$out"; exit 1; }

# The programs and their translations: what a person waits for, without the tests.
PROGRAMS = mica mica-vmm mica-image mica-net mica-share mica-slirp mica-vnc mica-vsock mica-gmo

.PHONY: all help deps build run check analyse coverage compdb deb deb-check test compat gallery bench soak install clean distclean
all: build

help:
	@echo 'make run      install what is missing, build, make a Debian 12 disk and boot it here'
	@echo '              FRESH=1: start from a new disk; CPUS=2 MEMORY=1G ARGS="..." go to mica run'
	@echo 'make build    build into $(B)/ ($(B)/mica is the command)'
	@echo 'make check    a few minutes, before every commit: format, rooms, headers, comments, unit tests'
	@echo 'make analyse  static analysis: gcc -fanalyzer, clang-tidy, cppcheck'
	@echo 'make coverage which lines the unit tests reach: $(B)/coverage/html; ARGS=engine: and the engine tests, all'
	@echo 'make test     build and run all tests; the last line is "N passed, N failed"'
	@echo 'make compat   programs of Debian in guests and here, in every mode of execution, outputs compared'
	@echo '              ARGS="--only java --modes default" goes to tests/compat/compat; 8 GiB of disk'
	@echo 'make gallery  systems booted from their own disks by their own loaders, beside QEMU; 8 GiB of disk'
	@echo '              ARGS="--only debian --rounds 3" goes to tests/gallery/gallery'
	@echo 'make bench    the software engine beside the host, QEMU and User-mode Linux; idle cost'
	@echo 'make soak     everything at once on 4 vCPUs for 20 minutes, results compared with the host'
	@echo '              ARGS="--minutes 5" goes to bench/soak, as for test and bench'
	@echo 'make install  PREFIX=$(PREFIX) DESTDIR='
	@echo 'make deb      the Debian package, in $(B)/deb; make deb-check tries it in a clean Debian (root)'
	@echo 'make deps     install the Debian packages that building and running need'
	@echo 'make clean    remove what was built, keep images and disks; make distclean removes all'

deps:
	@tools/deps.sh build run

build: $(B)/build.ninja
	@ninja -C $(B)

$(B)/build.ninja:
	@tools/deps.sh build
	@$(SETUP)

# Only the programs, not the tests: a person waits.
run:
	@tools/deps.sh build run
	@test -f $(B)/build.ninja || { $(SETUP); }
	@ninja -C $(B) --quiet $(PROGRAMS)
	@BUILD='$(B)' FRESH='$(FRESH)' CPUS='$(CPUS)' MEMORY='$(MEMORY)' tools/run $(ARGS)

check: build
	@tools/deps.sh check
	@tools/check --build '$(B)' $(ARGS)

analyse: build
	@tools/deps.sh analyse
	@tools/analyse --build '$(B)' $(ARGS)

coverage:
	@tools/deps.sh build test analyse
	@tools/coverage --build '$(B)' $(ARGS)

# For editors: every file's compiler command
compdb: $(B)/build.ninja
	@ln -sf '$(B)/compile_commands.json' compile_commands.json

deb:
	@tools/deps.sh build deb
	@tools/make-deb '$(B)'

deb-check: build deb
	@tests/deb/check '$(B)'

test:
	@tools/deps.sh build run check analyse test compat gallery
	@tools/run-tests --build '$(B)' $(ARGS)

compat: build
	@tools/deps.sh run compat
	@tests/compat/compat --build '$(B)' $(ARGS)

gallery: build
	@tools/deps.sh run gallery
	@tests/gallery/gallery --build '$(B)' $(ARGS)

bench: build
	@tools/deps.sh run bench
	@bench/engine --build '$(B)' $(ARGS)
	@bench/idle --build '$(B)'

soak: build
	@tools/deps.sh run soak
	@bench/soak --build '$(B)' $(ARGS)

# The prefix is known to the programs (where mica-vmm and the translations lie), so it has a build of its own.
# It has the same flags as what make test tests.
install:
	@test "$$(id -u)" != 0 || tools/deps.sh build
	@meson setup --prefix='$(abspath $(PREFIX))' $(B)/install . $$(test -f $(B)/install/build.ninja && echo --reconfigure) >/dev/null
	@ninja -C $(B)/install --quiet $(PROGRAMS)
	@DESTDIR='$(DESTDIR)' meson install -C $(B)/install --no-rebuild --strip

clean:
	@test ! -d $(B) || find $(B) -mindepth 1 -maxdepth 1 ! -name images ! -name run -exec rm -rf {} +

distclean:
	rm -rf $(B)
