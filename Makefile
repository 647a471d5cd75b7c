# SPDX-License-Identifier: LGPL-2.1-or-later
# A developer's daily commands. meson does the work; this only calls it.
BUILD ?= build
DESTDIR ?=
FUZZ_SECONDS ?= 3600

.PHONY: all run test deb site install uninstall fuzz bench coverage format clean deps

all: $(BUILD)/build.ninja
	meson compile -C $(BUILD)

$(BUILD)/build.ninja:
	tools/install-deps build
	meson setup $(BUILD) -Dtests=false

deps:
	tools/install-deps

# Shows the main purpose on a real kernel: a card whose driver is loaded is plugged, without us and with us.
run: deps
	meson setup $(BUILD) >/dev/null
	meson compile -C $(BUILD) >/dev/null
	tests/vm/demo --build $(BUILD)

# Runs everything: warnings, formatting, tests under sanitizers, fuzzing, virtual machines, benchmarks.
test: deps
	tests/run-all

# Installs a built tree. Nothing is built as root, so that no file of the tree belongs to root afterwards.
install: all
	meson install -C $(BUILD) --no-rebuild $(if $(DESTDIR),--destdir $(DESTDIR))

# Builds the package for Debian 12 in a root of its own.
deb: deps
	tests/build-deb

# Makes the documents one site, to be read without a server: open $(BUILD)-site/index.html.
site: deps
	tools/make-site $(BUILD)-site

uninstall:
	meson compile -C $(BUILD) uninstall

fuzz: deps
	tests/run-all fuzz --fuzz-seconds $(FUZZ_SECONDS)

bench: deps
	tests/run-all bench

coverage: deps
	tests/run-all coverage

format: deps
	clang-format -i $$(git ls-files '*.c' '*.h')

clean:
	rm -rf $(BUILD) build-check build-release build-clang
