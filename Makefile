# make demo   the main job on real input: a server behind bpos, asked by curl
# make test   every test, in every language
# make lib    libbpos.so, libbpos.so.0 and libbpos.a, in target/lib (or $CARGO_TARGET_DIR/lib)
# make all    the libraries and the command: all that is installed
# make install PREFIX=/usr/local DESTDIR=      the libraries, headers and command, so that other builds find them
# make uninstall PREFIX=/usr/local DESTDIR=    takes them away again
# make header include/bpos.h and include/bpos.ffi.h, from the source
# make check  structure, formatting, lints, documentation
# make targets  that it compiles for 32 bits, and on Windows says why it does not
# make bench  what a decision costs, beside the hash of its key and beside what people write instead: eight minutes

CARGO ?= cargo
PYTHON ?= python3
TARGET := $(or $(CARGO_TARGET_DIR),target)
LIB := $(TARGET)/lib
RELEASE := $(TARGET)/$(if $(CARGO_BUILD_TARGET),$(CARGO_BUILD_TARGET)/)release
COMMAND := $(RELEASE)/bpos
BUILD := CARGO="$(CARGO)" packaging/build.sh
SUITES := tests/c/run.sh tests/cpp/run.sh tests/cost/run.sh bindings/go/test.sh bindings/python/test.sh \
  tests/ffi/run.sh tests/install/run.sh tests/docs/run.sh
PACKAGES := binutils clang cmake curl default-jdk-headless g++ gcc golang-github-go-chi-chi-dev \
  golang-golang-x-time-dev libjna-java luajit nginx nodejs npm php-cli php-fpm pkg-config python3 python3-venv ruby \
  strace valgrind
# Debian has nginx and PHP-FPM there, where not every user looks.
export PATH := $(PATH):/usr/sbin
SOURCES := Cargo.toml Cargo.lock cli/Cargo.toml packaging/build.sh $(wildcard src/*.rs src/*/*.rs cli/src/*.rs cli/src/*/*.rs)

.PHONY: demo test lib all install uninstall header check targets bench tools need-cargo need-python3

demo: need-cargo need-curl
	$(BUILD) cargo build --release --example server
	$(BUILD) cargo build --release --package bpos-cli
	examples/demo.sh

test: tools all
	$(CARGO) test --workspace --all-features
	$(PYTHON) tests/vectors/generate.py --check
	for suite in $(SUITES); do BPOS_LIB=$(abspath $(LIB)) BPOS_COMMAND=$(abspath $(COMMAND)) $$suite || exit 1; done

lib: need-cargo
	$(BUILD) libraries $(RELEASE) $(LIB)

# What is newer than its sources is not built again, so that root needs no cargo: make all && sudo make install
all: $(LIB)/libbpos.so.0 $(LIB)/libbpos.a $(COMMAND)

$(LIB)/libbpos.so.0 $(LIB)/libbpos.a &: $(SOURCES)
	$(MAKE) lib

$(COMMAND): $(SOURCES)
	$(BUILD) cargo build --locked --release --package bpos-cli
	touch $@

# packaging/install.sh says which folders can be named, besides PREFIX and DESTDIR.
install: all
	packaging/install.sh install $(LIB) $(COMMAND)

uninstall:
	packaging/install.sh uninstall

header:
	$(CARGO) run --quiet --package bpos-header

check: need-python3
	$(PYTHON) tools/structure/check
	$(PYTHON) tools/structure/test
	$(CARGO) fmt --all --check
	$(CARGO) clippy --workspace --all-targets --all-features -- --deny warnings
	RUSTDOCFLAGS="--deny warnings" $(CARGO) doc --workspace --all-features --no-deps

targets:
	tests/targets/run.sh

bench: lib
	BPOS_LIB=$(abspath $(LIB)) $(CARGO) bench --bench authorize --bench lifecycle --bench memory

tools: $(addprefix need-,cargo gcc g++ clang++ nm readelf pkg-config cmake valgrind strace curl php node npm python3 \
  luajit ruby javac nginx php-fpm)

# What is not there is named, with how to get it.
need = @command -v $(1) >/dev/null || { \
  echo "$(1) is missing: install it (cargo by rustup; on Debian by apt-get install $(PACKAGES))"; exit 1; }
need-cargo:
	$(call need,$(firstword $(CARGO)))
need-python3:
	$(call need,$(firstword $(PYTHON)))
need-php-fpm: need-php
	$(call need,php-fpm$$(php -r 'echo PHP_MAJOR_VERSION, ".", PHP_MINOR_VERSION;'))
need-%:
	$(call need,$*)
