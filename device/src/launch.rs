//! How a kernel is declared, once: `kernels!` makes of it what either side needs.
//!
//! - On the GPU: the entry, and beside it what a launcher must know, which `cargo xtask build-kernels` moves to the manifest.
//! - On the host: a [`Kernel`] that describes it, and a function of its name that takes the parameters and gives a [`Call`]; no body, nothing unsafe.

/// What a launcher must know of a kernel, as a static beside it in the PTX.
#[cfg(any(target_arch = "nvptx64", feature = "cuda_std"))]
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
#[cfg(any(target_arch = "nvptx64", feature = "cuda_std"))]
pub const fn bytes<const N: usize>(text: &str) -> [u8; N] {
    let (mut bytes, mut at) = ([0; N], 0);
    while at < N {
        bytes[at] = text.as_bytes()[at];
        at += 1;
    }
    bytes
}

/// A kernel, as a launcher sees it.
#[derive(Debug, PartialEq)]
pub struct Kernel {
    /// Name of its entry in the PTX.
    pub name: &'static str,
    /// Names and Rust types of its parameters.
    pub parameters: &'static [(&'static str, &'static str)],
    /// Threads of a block.
    pub threads: u32,
    /// Bytes of dynamic shared memory.
    pub shared: u32,
    /// Items of a block in x and y: the grid has `⌈items / covers⌉` blocks.
    pub covers: [u32; 2],
    /// Whether some architectures lack it.
    pub optional: bool,
}

/// A kernel and the values of its `N` parameters, each in the low bytes of a word.
#[derive(Clone, Copy, Debug)]
pub struct Call<const N: usize> {
    /// The kernel.
    pub kernel: &'static Kernel,
    /// Values of its parameters, in their order.
    pub arguments: [u64; N],
}

/// What a kernel takes as a parameter.
pub trait Argument {
    /// The value in the low bytes of a word.
    fn word(self) -> u64;
}

macro_rules! arguments {
    ($($value:ident: $type:ty => $word:expr;)*) => {
        $(
            impl Argument for $type {
                fn word(self) -> u64 {
                    let $value = self;
                    $word
                }
            }
        )*
    };
}

arguments! {
    value: u32 => value.into();
    value: i32 => value.cast_unsigned().into();
    value: u64 => value;
    value: f32 => value.to_bits().into();
}

impl<T> Argument for *const T {
    fn word(self) -> u64 {
        self as u64
    }
}

impl<T> Argument for *mut T {
    fn word(self) -> u64 {
        self as u64
    }
}

/// Declares the kernels of a file: `fn name(parameters) for [threads, shared bytes, [covers x, covers y]] { body }`. `optional` before the first
/// says that some architectures lack them.
///
/// The body is unsafe as a launch is: pointers must be valid for the shapes in the kernel's doc, and the launch that of the declaration.
macro_rules! kernels {
    (optional $($kernels:tt)*) => {
        $crate::launch::kernels! { @ true, $($kernels)* }
    };
    (
        @ $optional:literal,
        $($(#[$doc:meta])* fn $name:ident($($parameter:ident: $type:ty),* $(,)?) for [$threads:expr, $shared:expr, $covers:expr] $body:block)*
    ) => {
        $(
            $(#[$doc])*
            ///
            /// # Safety
            /// Pointers are valid for these shapes; the launch is that of the manifest.
            #[cfg(all(target_arch = "nvptx64", not(feature = "cuda_std")))]
            #[unsafe(no_mangle)]
            pub unsafe extern "ptx-kernel" fn $name($($parameter: $type),*) $body

            $(#[$doc])*
            ///
            /// # Safety
            /// As a launch.
            #[cfg(feature = "cuda_std")]
            #[cuda_std::kernel]
            pub unsafe fn $name($($parameter: $type),*) $body

            $(#[$doc])*
            #[cfg(not(any(target_arch = "nvptx64", feature = "cuda_std")))]
            pub fn $name($($parameter: $type),*) -> $crate::launch::Call<{ [$(stringify!($parameter)),*].len() }> {
                $crate::launch::Call { kernel: &descriptions::$name, arguments: [$($crate::launch::Argument::word($parameter)),*] }
            }
        )*

        /// What a launcher must know of this file's kernels.
        #[cfg(not(any(target_arch = "nvptx64", feature = "cuda_std")))]
        #[allow(non_upper_case_globals, reason = "each has the name of its kernel")]
        pub mod descriptions {
            #[allow(unused_imports, reason = "some kernels need no constants")]
            use super::*;
            $(
                #[doc = concat!("Describes `", stringify!($name), "`.")]
                pub static $name: $crate::launch::Kernel = $crate::launch::Kernel {
                    name: stringify!($name),
                    parameters: &[$((stringify!($parameter), stringify!($type))),*],
                    threads: $threads as u32,
                    shared: $shared as u32,
                    covers: $covers,
                    optional: $optional,
                };
            )*
        }

        /// This file's kernels.
        #[cfg(not(any(target_arch = "nvptx64", feature = "cuda_std")))]
        pub const KERNELS: &[&$crate::launch::Kernel] = &[$(&descriptions::$name),*];

        #[cfg(any(target_arch = "nvptx64", feature = "cuda_std"))]
        mod launch {
            use super::*;
            $(
                mod $name {
                    use super::*;
                    const PARAMETERS: &str = stringify!($($parameter: $type),*);
                    #[unsafe(export_name = concat!(stringify!($name), "__launch"))]
                    pub static LAUNCH: $crate::launch::Launch =
                        $crate::launch::Launch { threads: $threads as u32, shared: $shared as u32, covers: $covers };
                    #[unsafe(export_name = concat!(stringify!($name), "__parameters"))]
                    pub static NAMES: [u8; PARAMETERS.len()] = $crate::launch::bytes(PARAMETERS);
                }
            )*
        }
    };
    ($($kernels:tt)*) => {
        $crate::launch::kernels! { @ false, $($kernels)* }
    };
}
pub(crate) use kernels;

/// Items that only bodies of kernels need: what the host, which has no bodies, does not compile.
macro_rules! on_gpu {
    ($($item:item)*) => {
        $(
            #[cfg(any(target_arch = "nvptx64", feature = "cuda_std"))]
            $item
        )*
    };
}
pub(crate) use on_gpu;
