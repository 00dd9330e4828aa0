# make demo   the main job on real input: a server behind bpos, asked by curl
# make test   every test, in every language
# make lib    libbpos.so, libbpos.so.0 and libbpos.a, in target/lib (or $CARGO_TARGET_DIR/lib)
# make header include/bpos.h and include/bpos.ffi.h, from the source
# make check  formatting, lints, documentation
# make bench  what a decision costs, beside the hash of its key

CARGO ?= cargo
PYTHON ?= python3
TARGET := $(or $(CARGO_TARGET_DIR),target)
LIB := $(TARGET)/lib

.PHONY: demo test lib header check bench tools

demo: need-$(CARGO) need-curl
	$(CARGO) build --release --example server
	$(CARGO) build --release --package bpos-cli
	examples/demo.sh

test: tools lib
	$(CARGO) test --workspace --all-features
	$(PYTHON) tests/vectors/generate.py --check
	BPOS_LIB=$(abspath $(LIB)) tests/c/run.sh

# The C libraries are built apart: the one with a SONAME, which rustc does not set, and the one to link statically.
lib:
	$(CARGO) rustc --release --lib --features ffi --crate-type cdylib -- -C link-arg=-Wl,-soname,libbpos.so.0
	$(CARGO) rustc --release --lib --features ffi --crate-type staticlib
	mkdir -p $(LIB)
	cp $(TARGET)/release/libbpos.so $(LIB)/libbpos.so.0
	ln -sf libbpos.so.0 $(LIB)/libbpos.so
	cp $(TARGET)/release/libbpos.a $(LIB)/libbpos.a

header:
	$(CARGO) run --quiet --package bpos-header

check:
	$(CARGO) fmt --all --check
	$(CARGO) clippy --workspace --all-targets --all-features -- --deny warnings
	RUSTDOCFLAGS="--deny warnings" $(CARGO) doc --workspace --all-features --no-deps

bench:
	$(CARGO) bench --bench authorize --bench lifecycle

tools: $(addprefix need-,$(CARGO) gcc g++ nm readelf valgrind strace curl $(PYTHON))

# What is not there is named, with how to get it.
need-%:
	@command -v $* >/dev/null || { \
	  echo "$* is missing: install it (cargo by rustup; on Debian gcc g++ binutils valgrind strace curl python3 by apt-get)"; \
	  exit 1; }
