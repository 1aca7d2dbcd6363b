//! Vectors of memory: what one thread loads or stores at once.

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

/// Two words.
///
/// # Safety
/// Valid, and aligned to 8 bytes.
#[inline(always)]
pub unsafe fn load_words2(from: *const u32) -> [u32; 2] {
    // SAFETY: by contract.
    unsafe { from.cast::<U32x2>().read() }.0
}

/// Stores two words.
///
/// # Safety
/// Valid, and aligned to 8 bytes.
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

/// Stores `V` adjacent floats, as vectors where V is a multiple of four.
///
/// # Safety
/// Valid, and for vectors aligned to 16 bytes.
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

/// Two words that no one writes while the kernel runs, through the read-only cache.
///
/// # Safety
/// Valid, in device memory, and aligned to 8 bytes.
#[inline(always)]
pub unsafe fn load_words2_constant(from: *const u32) -> [u32; 2] {
    #[cfg(not(feature = "cuda_std"))]
    {
        let (a, b);
        // SAFETY: as above.
        unsafe {
            core::arch::asm!(
                "{{ .reg .u64 %at; cvta.to.global.u64 %at, {from}; ld.global.nc.v2.u32 {{{a}, {b}}}, [%at]; }}",
                a = out(reg32) a, b = out(reg32) b, from = in(reg64) from,
                options(pure, nomem, nostack)
            );
        }
        [a, b]
    }
    #[cfg(feature = "cuda_std")]
    // SAFETY: by contract.
    unsafe {
        load_words2(from)
    }
}

/// A word that no one writes while the kernel runs, through the read-only cache.
///
/// # Safety
/// Valid, in device memory, and aligned to 4 bytes.
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
