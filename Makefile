# What people type. `make help` lists it.

SWIFT       ?= swift
SWIFT_DIST  := --configuration release --scratch-path .build-dist --static-swift-stdlib -Xswiftc -static-executable
DIST_BIN    := .build-dist/release
BOOT        := out/boot
# Where the built Debian image and the ramdisk's packages are kept between builds.
CACHE       ?= $(HOME)/.cache/hostler
export CACHE_HOME := $(CACHE)

.PHONY: help deps test-deps tests-built build binaries boot-files image demo test unit check contained attacks attacks-install e2e judges attested-boot metadata-clients metadata-lab bmc-install network-install stolen-backup bmc-judges chaos safety interop local-disk-cases bench fuzz dist clean

help:
	@sed -n 's/^## //p' Makefile

## make demo        set everything up, start a lab, install Debian on one of its machines
demo: deps binaries boot-files image
	scripts/demo.sh

## make test        all tests, the end-to-end ones included
test: deps test-deps check
	$(MAKE) -j2 tests-built boot-files image
	$(MAKE) unit local-disk-cases contained attacks e2e

## make deps        install what is missing, with apt
deps:
	scripts/deps.sh

## make test-deps   what the tests need beyond that, with pip: a foreign BMC
test-deps: deps
	scripts/foreign-bmcs.sh install

# Beside the release build, each fills the other's pauses.
tests-built:
	$(SWIFT) build --build-tests

## make unit        tests of the parts
unit: tests-built
	timeout --kill-after=10 1800 stdbuf -oL $(SWIFT) test --skip-build --no-parallel

## make contained   the server with what its systemd unit leaves it, on a wire with machines
contained:
	$(SWIFT) build --product hostler
	HOSTLER=.build/debug/hostler scripts/contained.py

## make attacks     what a hostile neighbour on the wire can do, beside honest machines (docs/threat-model.md)
attacks: binaries
	HOSTLER=$${HOSTLER:-$(CURDIR)/out/bin/hostler} timeout --kill-after=10 900 Tests/Attacks/run.py $(ATTACKS)

## make attacks-install  a virtual machine is installed while every flood of the attack suite runs
attacks-install: binaries boot-files image
	HOSTLER=$(CURDIR)/out/bin/hostler timeout --kill-after=10 2500 Tests/Attacks/run.py install_beside_floods

## make check       format, house rules, versions of dependencies, exposure of the systemd unit
check:
	scripts/check.sh

## make binaries    static hostler and hostler-init
binaries:
	$(SWIFT) build $(SWIFT_DIST) --product hostler-init
	$(SWIFT) build $(SWIFT_DIST) --product hostler
	mkdir -p out/bin
	strip -o out/bin/hostler $(DIST_BIN)/hostler
	strip -o out/bin/hostler-init $(DIST_BIN)/hostler-init

## make boot-files  what machines boot: kernel, ramdisk, iPXE
boot-files: binaries
	mkdir -p $(BOOT)
	CACHE=$(CACHE)/ramdisk packaging/ramdisk/build.sh $(BOOT) out/bin/hostler-init
	packaging/boot/build.sh $(BOOT)

## make image       Debian 12 as a disk image for the lab, built once and kept
image: binaries
	scripts/image.sh

## make e2e         machines from empty disk to SSH, in a lab of their own
e2e: binaries boot-files image
	scripts/e2e.sh
	scripts/bmc-install.py redfish

## make chaos       installations under faults at random moments (SEED=7 RUNS=20, AT_ONCE=2 machines)
chaos: binaries boot-files image
	PYTHONDONTWRITEBYTECODE=1 Tests/EndToEnd/storm.py --images $(CACHE)/state/images $(if $(SEED),--seed $(SEED)) --runs $(or $(RUNS),1) --at-once $(or $(AT_ONCE),1)

## make safety      strangers, second disks, other sectors, a server that is away or has moved: nobody's system is lost
safety: binaries boot-files image
	PYTHONDONTWRITEBYTECODE=1 Tests/EndToEnd/safety.py --images $(CACHE)/state/images $(SAFETY)

## make judges      other people's programs judge our identities: PyJWT, OpenSSL, OpenSSH, swtpm, tpm2-tools
judges:
	$(SWIFT) build --product hostler
	$(SWIFT) build --product attestation-judge
	scripts/identity-judges.sh
	scripts/attestation-judges.sh

## make local-disk-cases  which of several disks GRUB starts, decided by GRUB itself (grub-emu)
local-disk-cases:
	scripts/local-disk-cases.sh

## make attested-boot  a machine with a TPM boots and is believed; with one changed byte it is not
attested-boot: binaries boot-files
	scripts/attested-boot.sh

## make metadata-clients  other people's clients (botocore, ec2-metadata, cloud-init, Ignition), and an attacker, at the metadata service
metadata-clients: binaries
	scripts/metadata-clients.sh

## make metadata-lab  Debian 12 and 13 come up from each data source, with bonds and VLANs that carry traffic
metadata-lab: binaries boot-files
	scripts/metadata-lab.sh

## make bmc-install  machines that nobody touches are installed by their BMCs: by Redfish, and by IPMI alone
bmc-install: binaries boot-files image
	scripts/bmc-install.py $(BMC_INSTALL)

## make network-install  machines behind a DHCP relay, and beside another's DHCP server, are installed
network-install: binaries boot-files image
	scripts/network-install.py $(NETWORK_INSTALL)

## make stolen-backup  what a thief learns from a backup
stolen-backup: binaries
	HOSTLER=$(CURDIR)/out/bin/hostler scripts/stolen-backup.sh

## make bmc-judges  other people's BMCs judge our client, other people's clients our virtual BMC and our metrics
bmc-judges: binaries
	scripts/bmc-judges.sh
	scripts/power-judges.sh
	HOSTLER=$(CURDIR)/out/bin/hostler scripts/vbmc-judges.sh
	HOSTLER=$(CURDIR)/out/bin/hostler scripts/vbmc-ipmi.sh
	HOSTLER=$(CURDIR)/out/bin/hostler scripts/vbmc-lab.py
	HOSTLER=$(CURDIR)/out/bin/hostler scripts/metrics-judges.sh

## make interop     everything slow and from outside that make test leaves out: hours
interop: judges bmc-judges stolen-backup metadata-clients attested-boot metadata-lab network-install attacks-install safety
	scripts/bmc-install.py ipmi
	$(MAKE) chaos SEED=$(or $(SEED),1) RUNS=$(or $(RUNS),20) AT_ONCE=$(or $(AT_ONCE),2)

## make bench       figures beside the peers', in one run (BENCH='--only dhcp --runs 3' for less)
bench: deps binaries boot-files image
	$(SWIFT) build $(SWIFT_DIST) --product bmc-bench
	strip -o out/bin/bmc-bench $(DIST_BIN)/bmc-bench
	scripts/bench.sh $(BENCH)

## make fuzz        libFuzzer on every parser, a minute each (FUZZ_SECONDS=600 FUZZ_TARGETS="HELLO REPORT")
fuzz:
	FUZZ_SECONDS=$(or $(FUZZ_SECONDS),60) scripts/fuzz.sh $(FUZZ_TARGETS)

## make dist        static binaries, boot files, systemd unit, .deb
dist: binaries boot-files
	scripts/dist.sh

clean:
	rm -rf .build .build-dist out dist
