// The process that asks KVM as a program of its own, for tests: its last argument is the device.
#include "drivers/vmm/qemu/kvm_probe.h"

int main(int argc, char** argv) {
  return argc < 2 ? 2 : forkplane::vmm::KvmProbeMain(argv[argc - 1]);
}
