//! Everything of a GPU that plain Rust lacks, under the names of `cuda_std`; the kernels use nothing else.
//!
//! Two providers: rustc's own NVPTX back end, by which kernels are built, and with the feature `cuda_std` the crate of that name, for
//! rustc_codegen_nvvm. What that crate lacks is declared here for both.

/// Lanes of a warp.
pub const WARP: u32 = 32;

/// A mask of all lanes.
const ALL: u32 = u32::MAX;

#[cfg(feature = "cuda_std")]
pub use cuda_std::{GpuFloat, GpuFloat as GpuDouble, thread};

#[cfg(not(feature = "cuda_std"))]
mod nvptx {
    /// A thread's place, and the barrier of its block.
    pub mod thread {
        use core::arch::nvptx;

        macro_rules! place {
            ($($name:ident $of:ident)*) => {
                $(
                    #[doc = concat!("`", stringify!($name), "` of the CUDA model.")]
                    #[inline(always)]
                    pub fn $name() -> u32 {
                        // SAFETY: reads a special register.
                        unsafe { nvptx::$of() }
                    }
                )*
            };
        }

        place!(thread_idx_x _thread_idx_x block_idx_x _block_idx_x block_idx_y _block_idx_y);

        /// Waits for all threads of the block; what they wrote before is visible after.
        #[inline(always)]
        pub fn sync_threads() {
            // SAFETY: all threads of a block reach it: kernels call it under uniform conditions only.
            unsafe { nvptx::_syncthreads() }
        }
    }

    /// The functions of floats that `core` keeps unstable, and approximations in hardware.
    pub trait GpuFloat {
        /// `self · a + b`, rounded once.
        fn mul_add(self, a: Self, b: Self) -> Self;
        /// √self, correctly rounded.
        fn sqrt(self) -> Self;
        /// 2^self to 2 units in the last place (`ex2.approx`).
        fn exp2(self) -> Self;
        /// log₂ self (`lg2.approx`): absolute error 2⁻²² in [0.5, 2], relative error 2⁻²² elsewhere.
        fn log2(self) -> Self;
    }

    /// The one function of doubles.
    pub trait GpuDouble {
        /// √self, correctly rounded.
        fn sqrt(self) -> Self;
    }

    impl GpuDouble for f64 {
        #[inline(always)]
        fn sqrt(self) -> f64 {
            core::f64::math::sqrt(self)
        }
    }

    impl GpuFloat for f32 {
        #[inline(always)]
        fn mul_add(self, a: f32, b: f32) -> f32 {
            core::f32::math::mul_add(self, a, b)
        }

        #[inline(always)]
        fn sqrt(self) -> f32 {
            core::f32::math::sqrt(self)
        }

        #[inline(always)]
        fn exp2(self) -> f32 {
            let y;
            // SAFETY: arithmetic on registers.
            unsafe { core::arch::asm!("ex2.approx.f32 {}, {};", out(reg32) y, in(reg32) self, options(pure, nomem, nostack)) };
            y
        }

        #[inline(always)]
        fn log2(self) -> f32 {
            let y;
            // SAFETY: arithmetic on registers.
            unsafe { core::arch::asm!("lg2.approx.f32 {}, {};", out(reg32) y, in(reg32) self, options(pure, nomem, nostack)) };
            y
        }
    }
}

#[cfg(not(feature = "cuda_std"))]
pub use nvptx::{GpuDouble, GpuFloat, thread};

/// A block's shared memory.
pub mod shared {
    #[cfg(feature = "cuda_std")]
    pub use cuda_std::shared::dynamic_shared_mem;

    /// The dynamic shared memory that the launch gave the block; uninitialised.
    #[cfg(not(feature = "cuda_std"))]
    #[inline(always)]
    pub fn dynamic_shared_mem<T>() -> *mut T {
        unsafe extern "C" {
            fn dynamic_shared_base() -> *mut u8;
        }
        // SAFETY: `shared_memory.ll` gives the address of a symbol.
        unsafe { dynamic_shared_base() }.cast()
    }
}

/// Exchange between the lanes of a warp. All lanes must take part.
pub mod warp {
    use super::ALL;

    unsafe extern "C" {
        #[cfg_attr(target_arch = "nvptx64", link_name = "llvm.nvvm.shfl.sync.bfly.i32")]
        fn shuffle_bfly(mask: u32, value: u32, lane_mask: u32, clamp: u32) -> u32;
        #[cfg_attr(target_arch = "nvptx64", link_name = "llvm.nvvm.shfl.sync.idx.i32")]
        fn shuffle_idx(mask: u32, value: u32, lane: u32, clamp: u32) -> u32;
        #[cfg_attr(target_arch = "nvptx64", link_name = "llvm.nvvm.vote.ballot.sync")]
        fn vote_ballot(mask: u32, predicate: bool) -> u32;
    }

    /// The value of the lane whose number differs by the bits of `lane_mask`.
    #[inline(always)]
    pub fn warp_shuffle_xor(value: u32, lane_mask: u32) -> u32 {
        // SAFETY: all lanes take part.
        unsafe { shuffle_bfly(ALL, value, lane_mask, 31) }
    }

    /// The value of lane `lane`.
    #[inline(always)]
    pub fn warp_shuffle_idx(value: u32, lane: u32) -> u32 {
        // SAFETY: all lanes take part.
        unsafe { shuffle_idx(ALL, value, lane, 31) }
    }

    /// A bit for each lane: its predicate.
    #[inline(always)]
    pub fn warp_vote_ballot(predicate: bool) -> u32 {
        // SAFETY: all lanes take part.
        unsafe { vote_ballot(ALL, predicate) }
    }
}

/// Atomic updates, without order.
pub mod atomic {
    use core::sync::atomic::{AtomicU32, Ordering};

    /// `*pointer += value`, for all threads of the device.
    ///
    /// # Safety
    /// The pointer is valid and aligned, and the word is accessed atomically only.
    #[inline(always)]
    pub unsafe fn atomic_fetch_add_relaxed_u32_device(pointer: *mut u32, value: u32) {
        // SAFETY: by contract.
        unsafe { AtomicU32::from_ptr(pointer) }.fetch_add(value, Ordering::Relaxed);
    }

    /// `*pointer = max(*pointer, value)`, for all threads of the device.
    ///
    /// # Safety
    /// As for the addition.
    #[inline(always)]
    pub unsafe fn atomic_fetch_max_relaxed_u32_device(pointer: *mut u32, value: u32) {
        // SAFETY: by contract.
        unsafe { AtomicU32::from_ptr(pointer) }.fetch_max(value, Ordering::Relaxed);
    }
}

/// Matrix instructions of sm_80 and later, whose fragments a warp holds together; `cuda_std` has none of them.
///
/// All lanes must take part.
#[cfg(not(feature = "cuda_std"))]
pub mod matrix {
    use core::arch::asm;

    /// Two floats rounded to halves, the first in the low bits.
    #[inline(always)]
    pub fn pack_halves(low: f32, high: f32) -> u32 {
        let halves;
        // SAFETY: arithmetic on registers.
        unsafe { asm!("cvt.rn.f16x2.f32 {}, {}, {};", out(reg32) halves, in(reg32) high, in(reg32) low, options(pure, nomem, nostack)) };
        halves
    }

    /// Two halves as floats, that in the low bits first.
    #[inline(always)]
    pub fn unpack_halves(halves: u32) -> [f32; 2] {
        let (low, high);
        // SAFETY: arithmetic on registers.
        unsafe {
            asm!(
                "{{ .reg .b16 %low, %high; mov.b32 {{%low, %high}}, {}; cvt.f32.f16 {}, %low; cvt.f32.f16 {}, %high; }}",
                in(reg32) halves, out(reg32) low, out(reg32) high,
                options(pure, nomem, nostack)
            );
        }
        [low, high]
    }

    /// A pointer to shared memory as the address that [`ldmatrix_x4`] takes.
    #[inline(always)]
    pub fn shared_address(pointer: *const u16) -> u32 {
        let address;
        // SAFETY: arithmetic on registers.
        unsafe {
            asm!(
                "{{ .reg .u64 %at; cvta.to.shared.u64 %at, {}; cvt.u32.u64 {}, %at; }}",
                in(reg64) pointer, out(reg32) address,
                options(pure, nomem, nostack)
            );
        }
        address
    }

    macro_rules! ldmatrix {
        ($(#[$doc:meta])* $name:ident, $instruction:literal) => {
            $(#[$doc])*
            ///
            /// # Safety
            /// The eight rows of each matrix, 16 bytes each, lie in shared memory on multiples of 16 bytes; lane l gives row l mod 8 of matrix l / 8.
            #[inline(always)]
            pub unsafe fn $name(row: u32) -> [u32; 4] {
                let (a, b, c, d);
                // SAFETY: by contract.
                unsafe {
                    asm!(
                        concat!($instruction, " {{{}, {}, {}, {}}}, [{}];"),
                        out(reg32) a, out(reg32) b, out(reg32) c, out(reg32) d, in(reg32) row,
                        options(nostack)
                    );
                }
                [a, b, c, d]
            }
        };
    }

    ldmatrix! {
        /// Four 8 × 8 matrices of halves: this lane's row l / 4, columns 2 (l mod 4) and the next, of each.
        ldmatrix_x4, "ldmatrix.sync.aligned.m8n8.x4.shared.b16"
    }
    ldmatrix! {
        /// The same of their transposes.
        ldmatrix_x4_trans, "ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16"
    }

    /// `sums += a · b`: 16 × 16 halves times 16 × 8, added up in `f32`.
    #[inline(always)]
    pub fn mma_m16n8k16(sums: &mut [f32; 4], a: [u32; 4], b: [u32; 2]) {
        // SAFETY: arithmetic on registers.
        unsafe {
            asm!(
                "mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32",
                " {{{0}, {1}, {2}, {3}}}, {{{4}, {5}, {6}, {7}}}, {{{8}, {9}}}, {{{0}, {1}, {2}, {3}}};",
                inout(reg32) sums[0], inout(reg32) sums[1], inout(reg32) sums[2], inout(reg32) sums[3],
                in(reg32) a[0], in(reg32) a[1], in(reg32) a[2], in(reg32) a[3], in(reg32) b[0], in(reg32) b[1],
                options(nomem, nostack)
            );
        }
    }
}

/// Integer dot products and byte permutation: one instruction each from sm_61 on.
pub mod dot {
    macro_rules! instruction {
        ($(#[$doc:meta])* $name:ident, $template:literal, ($($operand:ident: $type:ty),*) -> $result:ty, $portable:expr) => {
            $(#[$doc])*
            #[inline(always)]
            pub fn $name($($operand: $type),*) -> $result {
                #[cfg(not(feature = "cuda_std"))]
                {
                    let result;
                    // SAFETY: arithmetic on registers.
                    unsafe { core::arch::asm!($template, out(reg32) result, $(in(reg32) $operand),*, options(pure, nomem, nostack)) };
                    result
                }
                #[cfg(feature = "cuda_std")]
                {
                    $portable
                }
            }
        };
    }

    #[cfg(feature = "cuda_std")]
    fn halves(a: u32) -> [i32; 2] {
        [a as i16 as i32, (a as i32) >> 16]
    }

    instruction! {
        /// `c` + the two signed halves of `a` times the signed bytes 0 and 1 of `b`.
        dp2a_lo_s32_s32, "dp2a.lo.s32.s32 {}, {}, {}, {};", (a: u32, b: u32, c: i32) -> i32, {
            let [low, high] = halves(a);
            c + low * (b as i8 as i32) + high * ((b >> 8) as i8 as i32)
        }
    }
    instruction! {
        /// `c` + the two signed halves of `a` times the signed bytes 2 and 3 of `b`.
        dp2a_hi_s32_s32, "dp2a.hi.s32.s32 {}, {}, {}, {};", (a: u32, b: u32, c: i32) -> i32, {
            let [low, high] = halves(a);
            c + low * ((b >> 16) as i8 as i32) + high * ((b >> 24) as i8 as i32)
        }
    }
    instruction! {
        /// `c` + the two signed halves of `a` times the unsigned bytes 0 and 1 of `b`.
        dp2a_lo_s32_u32, "dp2a.lo.s32.u32 {}, {}, {}, {};", (a: u32, b: u32, c: i32) -> i32, {
            let [low, high] = halves(a);
            c + low * (b & 255) as i32 + high * (b >> 8 & 255) as i32
        }
    }
    instruction! {
        /// `c` + the two signed halves of `a` times the unsigned bytes 2 and 3 of `b`.
        dp2a_hi_s32_u32, "dp2a.hi.s32.u32 {}, {}, {}, {};", (a: u32, b: u32, c: i32) -> i32, {
            let [low, high] = halves(a);
            c + low * (b >> 16 & 255) as i32 + high * (b >> 24) as i32
        }
    }
    instruction! {
        /// Four of the bytes of `a` (0–3) and `b` (4–7), chosen by the low nibbles of `selector`, each below 8.
        prmt, "prmt.b32 {}, {}, {}, {};", (a: u32, b: u32, selector: u32) -> u32, {
            let bytes = (a as u64 | (b as u64) << 32).to_le_bytes();
            u32::from_le_bytes([0, 4, 8, 12].map(|shift| bytes[(selector >> shift & 7) as usize]))
        }
    }
}

/// Vectors of memory: what one thread loads or stores at once.
pub mod memory {
    /// Four floats on their 16 bytes.
    #[derive(Clone, Copy)]
    #[repr(C, align(16))]
    pub struct F32x4(pub [f32; 4]);

    /// Four words on their 16 bytes.
    #[derive(Clone, Copy)]
    #[repr(C, align(16))]
    pub struct U32x4(pub [u32; 4]);

    /// Four floats.
    ///
    /// # Safety
    /// Valid, and aligned to 16 bytes.
    #[inline(always)]
    pub unsafe fn load4(from: *const f32) -> [f32; 4] {
        // SAFETY: by contract.
        unsafe { from.cast::<F32x4>().read() }.0
    }

    /// Stores four floats.
    ///
    /// # Safety
    /// Valid, and aligned to 16 bytes.
    #[inline(always)]
    pub unsafe fn store4(to: *mut f32, values: [f32; 4]) {
        // SAFETY: by contract.
        unsafe { to.cast::<F32x4>().write(F32x4(values)) }
    }

    /// Two floats on their 8 bytes.
    #[cfg(not(feature = "cuda_std"))]
    #[derive(Clone, Copy)]
    #[repr(C, align(8))]
    struct F32x2([f32; 2]);

    /// Two words on their 8 bytes.
    #[cfg(not(feature = "cuda_std"))]
    #[derive(Clone, Copy)]
    #[repr(C, align(8))]
    struct U32x2([u32; 2]);

    /// Two floats.
    ///
    /// # Safety
    /// Valid, and aligned to 8 bytes.
    #[cfg(not(feature = "cuda_std"))]
    #[inline(always)]
    pub unsafe fn load2(from: *const f32) -> [f32; 2] {
        // SAFETY: by contract.
        unsafe { from.cast::<F32x2>().read() }.0
    }

    /// Stores two floats.
    ///
    /// # Safety
    /// Valid, and aligned to 8 bytes.
    #[cfg(not(feature = "cuda_std"))]
    #[inline(always)]
    pub unsafe fn store2(to: *mut f32, values: [f32; 2]) {
        // SAFETY: by contract.
        unsafe { to.cast::<F32x2>().write(F32x2(values)) }
    }

    /// Stores two words.
    ///
    /// # Safety
    /// Valid, and aligned to 8 bytes.
    #[cfg(not(feature = "cuda_std"))]
    #[inline(always)]
    pub unsafe fn store_words2(to: *mut u32, values: [u32; 2]) {
        // SAFETY: by contract.
        unsafe { to.cast::<U32x2>().write(U32x2(values)) }
    }

    /// Stores four words.
    ///
    /// # Safety
    /// Valid, and aligned to 16 bytes.
    #[cfg(not(feature = "cuda_std"))]
    #[inline(always)]
    pub unsafe fn store_words4(to: *mut u32, values: [u32; 4]) {
        // SAFETY: by contract.
        unsafe { to.cast::<U32x4>().write(U32x4(values)) }
    }

    /// `V` adjacent floats, as vectors where V is a multiple of four.
    ///
    /// # Safety
    /// Valid, and for vectors aligned to 16 bytes.
    #[inline(always)]
    pub unsafe fn load<const V: usize>(from: *const f32) -> [f32; V] {
        let mut values = [0.0; V];
        if V.is_multiple_of(4) {
            for (i, four) in values.chunks_exact_mut(4).enumerate() {
                // SAFETY: by contract.
                four.copy_from_slice(&unsafe { load4(from.add(4 * i)) });
            }
        } else {
            for (i, value) in values.iter_mut().enumerate() {
                // SAFETY: by contract.
                *value = unsafe { *from.add(i) };
            }
        }
        values
    }

    /// Stores them.
    ///
    /// # Safety
    /// As for [`load`].
    #[inline(always)]
    pub unsafe fn store<const V: usize>(to: *mut f32, values: [f32; V]) {
        if V.is_multiple_of(4) {
            for (i, four) in values.chunks_exact(4).enumerate() {
                // SAFETY: by contract.
                unsafe { store4(to.add(4 * i), [four[0], four[1], four[2], four[3]]) };
            }
        } else {
            for (i, value) in values.into_iter().enumerate() {
                // SAFETY: by contract.
                unsafe { *to.add(i) = value };
            }
        }
    }

    /// Four floats that no one writes while the kernel runs, through the read-only cache.
    ///
    /// # Safety
    /// Valid, in device memory, and aligned to 16 bytes.
    #[inline(always)]
    pub unsafe fn load4_constant(from: *const f32) -> [f32; 4] {
        #[cfg(not(feature = "cuda_std"))]
        {
            let (a, b, c, d);
            // SAFETY: by contract; what is read does not change, so the load is pure.
            unsafe {
                core::arch::asm!(
                    "{{ .reg .u64 %at; cvta.to.global.u64 %at, {from}; ld.global.nc.v4.f32 {{{a}, {b}, {c}, {d}}}, [%at]; }}",
                    a = out(reg32) a, b = out(reg32) b, c = out(reg32) c, d = out(reg32) d, from = in(reg64) from,
                    options(pure, nomem, nostack)
                );
            }
            [a, b, c, d]
        }
        #[cfg(feature = "cuda_std")]
        // SAFETY: by contract.
        unsafe {
            load4(from)
        }
    }

    /// The same of a word, aligned to 4 bytes.
    ///
    /// # Safety
    /// Valid, in device memory, and aligned.
    #[inline(always)]
    pub unsafe fn load_constant(from: *const u32) -> u32 {
        #[cfg(not(feature = "cuda_std"))]
        {
            let word;
            // SAFETY: as above.
            unsafe {
                core::arch::asm!(
                    "{{ .reg .u64 %at; cvta.to.global.u64 %at, {from}; ld.global.nc.u32 {word}, [%at]; }}",
                    word = out(reg32) word, from = in(reg64) from,
                    options(pure, nomem, nostack)
                );
            }
            word
        }
        #[cfg(feature = "cuda_std")]
        // SAFETY: by contract.
        unsafe {
            *from
        }
    }

    /// Whether vectors may be loaded there.
    #[inline(always)]
    pub fn aligned<T>(pointer: *const T) -> bool {
        (pointer as usize).is_multiple_of(16)
    }
}

/// What a launcher must know of a kernel, in the PTX; `cargo xtask build-kernels` moves it to the manifest.
#[repr(C)]
pub struct Launch {
    /// Threads of a block.
    pub threads: u32,
    /// Bytes of dynamic shared memory.
    pub shared: u32,
    /// Items of a block in x and y: the grid has `⌈items / covers⌉` blocks.
    pub covers: [u32; 2],
}

/// The bytes of a string constant, as an array.
pub const fn bytes<const N: usize>(text: &str) -> [u8; N] {
    let (mut bytes, mut at) = ([0; N], 0);
    while at < N {
        bytes[at] = text.as_bytes()[at];
        at += 1;
    }
    bytes
}

/// Declares the kernels of a file: `fn name(parameters) for [threads, shared bytes, [covers x, covers y]] { body }`.
///
/// The body is unsafe as a launch is: pointers must be valid for the shapes in the kernel's doc, and the launch that of the manifest.
macro_rules! kernels {
    ($($(#[$doc:meta])* fn $name:ident($($parameter:ident: $type:ty),* $(,)?) for [$threads:expr, $shared:expr, $covers:expr] $body:block)*) => {
        $(
            $(#[$doc])*
            ///
            /// # Safety
            /// Pointers are valid for these shapes; the launch is that of the manifest.
            #[cfg(not(feature = "cuda_std"))]
            #[unsafe(no_mangle)]
            pub unsafe extern "ptx-kernel" fn $name($($parameter: $type),*) $body

            $(#[$doc])*
            ///
            /// # Safety
            /// As a launch.
            #[cfg(feature = "cuda_std")]
            #[cuda_std::kernel]
            pub unsafe fn $name($($parameter: $type),*) $body
        )*

        mod launch {
            use super::*;
            $(
                mod $name {
                    use super::*;
                    const PARAMETERS: &str = stringify!($($parameter: $type),*);
                    #[unsafe(export_name = concat!(stringify!($name), "__launch"))]
                    pub static LAUNCH: $crate::gpu::Launch =
                        $crate::gpu::Launch { threads: $threads as u32, shared: $shared as u32, covers: $covers };
                    #[unsafe(export_name = concat!(stringify!($name), "__parameters"))]
                    pub static NAMES: [u8; PARAMETERS.len()] = $crate::gpu::bytes(PARAMETERS);
                }
            )*
        }
    };
}
pub(crate) use kernels;
