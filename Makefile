# Targets are thin: what they do stands in TypeScript beside what it concerns.
SHELL := /bin/sh
ARCH := $(if $(filter aarch64,$(shell uname -m)),arm64,x64)
export PATH := $(CURDIR)/node_modules/node-linux-$(ARCH)/bin:$(CURDIR)/node_modules/.bin:$(PATH)
NODE := node --no-warnings

.PHONY: help
help: ## list the targets
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/\1\t\2/p' $(MAKEFILE_LIST) | expand -t 16

.PHONY: run
run: ## build the image, boot it in QEMU, serve a sample; FAST=1 skips the firmware
	@./setup run
	@$(NODE) test/vm/run.ts up

.PHONY: stop
stop: ## power off the machine of `make run`; its disk stays
	@$(NODE) test/vm/run.ts stop

.PHONY: forward
forward: ## forward a port of 127.0.0.1 to the machine's PORT=
	@$(NODE) test/vm/run.ts forward '$(PORT)'

.PHONY: image
image: ## make what machines boot into out/image
	@./setup dev
	@$(NODE) image/make-image.ts

.PHONY: vm
vm: ## run the tests that boot the image under QEMU
	@./setup test
	@$(NODE) test/run.ts vm

.PHONY: dev
dev: ## start a development node (no OS, no VM); IMAGES='a.tar b.tar' imports archives; needs root
	@./setup dev
	@$(NODE) image/make-root.ts
	@$(NODE) test/dev/launch.ts up $(foreach image,$(IMAGES),--image $(image))

.PHONY: dev-stop
dev-stop: ## end the development node; nothing of it stays
	@$(NODE) test/dev/launch.ts down

.PHONY: sim
sim: ## run one simulated group of stores; SEED= replays a run
	@./setup dev
	@$(NODE) test/sim/run.ts '$(or $(SEED),1)'

.PHONY: mutation
mutation: ## put small faults into Raft and the log, one at a time: do the tests find them? (the first run takes long)
	@./setup dev
	@$(NODE) test/mutation/mutation.ts

.PHONY: power-cuts
power-cuts: ## cut a machine's power CUTS= times, and look for lost writes; needs root; SEED= chooses the cuts
	@./setup test
	@$(NODE) test/vm/store-power.ts --cuts '$(or $(CUTS),200)' $(if $(SEED),--seed '$(SEED)')

.PHONY: sim-soak
sim-soak: ## run simulated groups of stores for MINUTES=, from a random seed on; JOBS=2 uses two cores
	@./setup dev
	@$(NODE) test/sim/soak.ts '$(or $(MINUTES),1)'

.PHONY: mutation-gate
mutation-gate: ## does the simulator find known bugs in the store? NAME= for one of them (an hour)
	@./setup dev
	@$(NODE) test/sim/mutation-gate.ts $(NAME)

.PHONY: test
test: ## run every test, from checks and units up to virtual machines
	@./setup test
	@$(NODE) test/run.ts

.PHONY: unit
unit: ## run the unit tests
	@./setup dev
	@$(NODE) test/run.ts unit

.PHONY: contract
contract: ## run the contract tests
	@./setup dev
	@$(NODE) test/run.ts contract

.PHONY: host
host: ## run the tests that use this kernel: namespaces, nftables, runc; needs root
	@./setup test
	@$(NODE) test/run.ts host

.PHONY: check
check: ## types, lint, layers, format, generated files
	@./setup dev
	@$(NODE) test/run.ts check

.PHONY: format
format: ## format the sources
	@biome format --write .

.PHONY: kubectl
kubectl: ## put kubectl v1.36 into out/bin
	@./setup dev
	@$(NODE) image/kubectl.ts

.PHONY: gen
gen: ## derive the generated sources from the committed facts
	@$(NODE) base/protocol/generate.ts
	@$(NODE) control/schema/generate/gen.ts
	@$(NODE) control/store/etcd/generate.ts

.PHONY: gen-facts
gen-facts: ## extract upstream's facts from its Go modules (needs Go)
	@$(NODE) control/schema/generate/gen-facts.ts

.PHONY: verify-gen
verify-gen: gen-facts gen ## do both again and compare with what is committed
	git diff --exit-code -- '*.gen.ts' '*.gen.json' '*.gen.json.gz'

.PHONY: lock
lock: ## resolve the image's Debian packages anew
	@./setup dev
	@$(NODE) image/make-lock.ts

.PHONY: npm-lock
npm-lock: ## update package-lock.json from package.json
	npm install --package-lock-only --ignore-scripts
	@$(NODE) test/tidy/package-lock.ts

.PHONY: conformance
conformance: ## run upstream's e2e suite: FOCUS=regex, TARGET=dev or image (the machine of make run); needs Go
	@$(NODE) test/conformance/run.ts --focus '$(FOCUS)' --target '$(or $(TARGET),dev)'
