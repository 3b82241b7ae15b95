# SPDX-License-Identifier: GPL-2.0
#
# The front end: `make help`. What is built is in Kbuild.

LLVM ?= 1
.DEFAULT_GOAL := modules

goals := $(or $(MAKECMDGOALS),$(.DEFAULT_GOAL))
need-kdir := $(filter modules modules_install clean rustdoc rust-analyzer,$(goals))

# The kernel to build for: the running one, where that has Rust, else the environment's.
ifeq ($(KDIR)$(if $(need-kdir),,no),)
  KDIR := /lib/modules/$(shell uname -r)/build
  ifeq ($(shell grep -sx CONFIG_RUST=y $(KDIR)/include/config/auto.conf),)
    KDIR := $(shell tools/vm/env path kernel-test)
    $(if $(KDIR),,$(error no kernel to build for))
  endif
endif
override KDIR := $(if $(KDIR),$(abspath $(KDIR)))
override MO := $(if $(MO),$(abspath $(MO)))
override INSTALL_MOD_PATH := $(if $(INSTALL_MOD_PATH),$(abspath $(INSTALL_MOD_PATH)))
empty :=
space := $(empty) $(empty)
export ENV_BIND := $(subst $(space),:,$(strip $(KDIR) $(realpath $(KDIR)/source) $(MO) $(INSTALL_MOD_PATH)))

# A kernel's Rust objects go only with the compiler they were built with. Where that
# is not this machine's, the environment's does it.
rustc-of-kernel := $(if $(KDIR),$(shell sed -n 's/^CONFIG_RUSTC_VERSION_TEXT=//p' $(KDIR)/include/config/auto.conf | tr -d '"'))
rustc-here := $(shell rustc --version 2>/dev/null)
enter := $(if $(and $(rustc-here),$(findstring [$(rustc-here)],[$(rustc-of-kernel)])),,tools/vm/env exec)

kbuild = $(enter) $(MAKE) -C $(KDIR) M=$(CURDIR) $(if $(MO),MO=$(MO)) LLVM=$(LLVM)

modules modules_install clean:
	+$(kbuild) $@
	$(if $(filter clean,$@),$(RM) -r $(or $(MO),.)/doc rust-project.json)

rust-files = $(shell find rust drivers tools -name target -prune -o -name '*.rs' ! -name '*_generated.rs' -print)

rustfmt:
	$(enter) rustfmt --edition 2021 $(rust-files)

rustfmtcheck:
	$(enter) rustfmt --edition 2021 --check $(rust-files)

# What Kbuild has no targets for outside the kernel's tree.
rustdoc rust-analyzer: modules
	$(enter) tools/vm/rust-tools $@ $(KDIR) $(or $(MO),$(CURDIR))

env:
	tools/vm/env

check: export MAKEFLAGS :=
check:
	tools/testing/vfio/check $(SUITES)

fuzz: export MAKEFLAGS :=
fuzz:
	tools/testing/vfio/fuzz/run -m $(or $(MINUTES),1) $(TARGETS)

soak: export MAKEFLAGS :=
soak:
	tools/testing/vfio/check debug-types qemu-debug mlx5-debug mlx5-chunk-debug \
		mlx5-kernel-debug mlx5-migrate-debug soak soak-mlx5 soak-mlx5-debug

bench: export MAKEFLAGS :=
bench:
	tools/testing/vfio/bench/run $(if $(QUICK),-q) $(if $(CONTINUE),-c) $(if $(DRIVERS),-d $(DRIVERS))

demo: export MAKEFLAGS :=
demo:
	tools/vm/run --memory 2048 --timeout 600 --modprobe vfio_migration_emulated -- tools/testing/vfio/qemu/demo

help:
	@echo 'For anyone who has just this checkout, as root on Debian 12 or 13:'
	@echo '  demo            a guest with an emulated device migrates from one QEMU to another, in a VM'
	@echo '  check           all tests; SUITES="NAME..." only these, LANES=N at a time, AGAIN=1 all again'
	@echo '  soak            what takes long, mostly on the debug kernel: SESSIONS=10000 of which nothing'
	@echo '                  may be left'
	@echo '  fuzz            look for bad inputs to the pure parts, for MINUTES=1 each'
	@echo '  bench           our driver for ConnectX beside the kernel'\''s, on emulated ones; writes'
	@echo '                  vfio-migration-performance.rst and drawings into Documentation/;'
	@echo '                  QUICK=1 a quick look, CONTINUE=1 go on, DRIVERS=FIRST,SECOND others'
	@echo '  env             only what the two need: toolchain, QEMU, kernels'
	@echo
	@echo 'For ones own kernel (7.3 with CONFIG_RUST=y), KDIR=its build folder:'
	@echo '  modules         build the modules (default); CLIPPY=1 lints, MO=DIR builds in DIR'
	@echo '  modules_install install them; INSTALL_MOD_PATH=DIR below DIR'
	@echo '  clean           remove what was built'
	@echo '  rustdoc         the documentation of the code, in doc/ where it was built'
	@echo '  rust-analyzer   rust-project.json, here'
	@echo
	@echo 'For the source:'
	@echo '  rustfmt, rustfmtcheck'
	@echo
	@echo 'Without KDIR the kernel is the running one, or the one of the environment.'

.PHONY: modules modules_install clean rustfmt rustfmtcheck rustdoc rust-analyzer env check soak fuzz bench demo help
