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
export ENV_BIND := $(subst $(space),:,$(wildcard $(KDIR) $(realpath $(KDIR)/source) $(INSTALL_MOD_PATH)) $(MO))

# A kernel's Rust objects go only with the compiler they were built with. Where that
# is not this machine's, the environment's does it.
rustc-of-kernel := $(if $(KDIR),$(shell sed -n 's/^CONFIG_RUSTC_VERSION_TEXT="\(.*\)"/\1/p' $(KDIR)/include/config/auto.conf))
rustc-here := $(shell rustc --version 2>/dev/null)
enter := $(if $(and $(rustc-here),$(findstring [$(rustc-here)],[$(rustc-of-kernel)])),,tools/vm/env exec)

kbuild = $(enter) $(MAKE) -C $(KDIR) M=$(CURDIR) $(if $(MO),MO=$(MO)) LLVM=$(LLVM)

modules modules_install clean:
	+$(kbuild) $@

.PHONY: modules modules_install clean
