//! How a kernel is declared, and what a launcher must know of it.

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
