; Rust has no address spaces. Dynamic shared memory is declared here; LLVM infers the space of what is reached through it after inlining.
target triple = "nvptx64-nvidia-cuda"

@dynamic_shared = external addrspace(3) global [0 x i8], align 16

define ptr @dynamic_shared_base() alwaysinline nounwind memory(none) {
  ret ptr addrspacecast (ptr addrspace(3) @dynamic_shared to ptr)
}
