//! Types of the elements of tensors on disk.

use std::fmt;

macro_rules! dtypes {
    (
        plain { $($(#[$plain_doc:meta])* $plain:ident: $plain_elements:literal in $plain_bytes:literal,)* }
        blocks { $($(#[$block_doc:meta])* $block:ident: $elements:literal in $bytes:literal,)* }
    ) => {
        /// The type of the elements of a tensor: plain ones, as in safetensors, and the blocks of ggml, which hold several quantised elements and
        /// what they are scaled by. Names are those that the formats give them.
        #[allow(non_camel_case_types)]
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Dtype {
            $($(#[$plain_doc])* $plain,)*
            $($(#[$block_doc])* $block,)*
        }

        impl Dtype {
            /// Every type.
            pub const ALL: &'static [Self] = &[$(Self::$plain,)* $(Self::$block,)*];

            /// The fewest elements that take whole bytes, and those bytes: `(32, 18)` for `Q4_0`, `(1, 4)` for `F32`. Rows consist of whole blocks.
            pub const fn block(self) -> (usize, usize) {
                match self {
                    $(Self::$plain => ($plain_elements, $plain_bytes),)*
                    $(Self::$block => ($elements, $bytes),)*
                }
            }

            /// The name that the formats give it: `F32`.
            pub const fn name(self) -> &'static str {
                match self {
                    $(Self::$plain => stringify!($plain),)*
                    $(Self::$block => stringify!($block),)*
                }
            }

            /// The type of this name in safetensors.
            pub(super) const fn to_safetensors(self) -> Option<safetensors::Dtype> {
                match self {
                    $(Self::$plain => Some(safetensors::Dtype::$plain),)*
                    $(Self::$block => None,)*
                }
            }

            /// None for a type that a later version of safetensors may add.
            pub(super) const fn from_safetensors(dtype: safetensors::Dtype) -> Option<Self> {
                match dtype {
                    $(safetensors::Dtype::$plain => Some(Self::$plain),)*
                    #[allow(unreachable_patterns)]
                    _ => None,
                }
            }
        }
    };
}

dtypes! {
    plain {
        /// A boolean of one byte.
        BOOL: 1 in 1,
        /// OCP MXFP4 elements.
        F4: 2 in 1,
        /// OCP MXFP6 elements, two bits of exponent.
        F6_E2M3: 4 in 3,
        /// OCP MXFP6 elements, three bits of exponent.
        F6_E3M2: 4 in 3,
        /// Unsigned byte.
        U8: 1 in 1,
        /// Signed byte.
        I8: 1 in 1,
        /// OCP FP8, five bits of exponent.
        F8_E5M2: 1 in 1,
        /// OCP FP8, four bits of exponent.
        F8_E4M3: 1 in 1,
        /// OCP scales: powers of two.
        F8_E8M0: 1 in 1,
        /// FP8 of <https://arxiv.org/abs/2206.02915>, four bits of exponent.
        F8_E4M3FNUZ: 1 in 1,
        /// FP8 of <https://arxiv.org/abs/2206.02915>, five bits of exponent.
        F8_E5M2FNUZ: 1 in 1,
        /// Signed, 16 bits.
        I16: 1 in 2,
        /// Unsigned, 16 bits.
        U16: 1 in 2,
        /// IEEE 754 binary16.
        F16: 1 in 2,
        /// The upper half of a binary32.
        BF16: 1 in 2,
        /// Signed, 32 bits.
        I32: 1 in 4,
        /// Unsigned, 32 bits.
        U32: 1 in 4,
        /// IEEE 754 binary32.
        F32: 1 in 4,
        /// Two binary32.
        C64: 1 in 8,
        /// IEEE 754 binary64.
        F64: 1 in 8,
        /// Signed, 64 bits.
        I64: 1 in 8,
        /// Unsigned, 64 bits.
        U64: 1 in 8,
    }
    blocks {
        /// A scale (f16); 32 of 4 bits, less 8.
        Q4_0: 32 in 18,
        /// A scale and a minimum (f16); 32 of 4 bits.
        Q4_1: 32 in 20,
        /// A scale (f16); 32 of 5 bits, less 16.
        Q5_0: 32 in 22,
        /// A scale and a minimum (f16); 32 of 5 bits.
        Q5_1: 32 in 24,
        /// A scale (f16); 32 signed bytes.
        Q8_0: 32 in 34,
        /// A scale of scales and one of minima (f16); 8 of each in 6 bits; 256 of 4 bits.
        Q4_K: 256 in 144,
        /// A scale of scales and one of minima (f16); 8 of each in 6 bits; 256 of 5 bits.
        Q5_K: 256 in 176,
        /// 256 of 6 bits, less 32; 16 scales, signed bytes; the scale of scales (f16).
        Q6_K: 256 in 210,
        /// A scale (f16); 32 of 4 bits that look values up.
        IQ4_NL: 32 in 18,
    }
}

impl Dtype {
    /// Bytes of so many elements; none where these are no whole number of blocks, or more than there are addresses.
    pub const fn byte_len(self, elements: usize) -> Option<usize> {
        let (of, bytes) = self.block();
        if elements.is_multiple_of(of) { (elements / of).checked_mul(bytes) } else { None }
    }

    /// Bytes of a tensor whose rows, the last dimension, consist of whole blocks; none where they do not, or for more than there are addresses.
    pub fn tensor_len(self, shape: &[usize]) -> Option<usize> {
        let (row, rows) = shape.split_last().map_or((1, &[][..]), |(row, rows)| (*row, rows));
        rows.iter().try_fold(self.byte_len(row)?, |len, &dim| len.checked_mul(dim))
    }
}

impl fmt::Display for Dtype {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.pad(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_types_are_those_of_safetensors() {
        for &dtype in Dtype::ALL {
            let (elements, bytes) = dtype.block();
            assert_eq!(format!("{dtype:?}"), dtype.name());
            if let Some(plain) = dtype.to_safetensors() {
                assert_eq!(plain.to_string(), dtype.name());
                assert_eq!(plain.bitsize() * elements, 8 * bytes, "{dtype}");
                assert_eq!(Dtype::from_safetensors(plain), Some(dtype));
            }
        }
    }

    #[test]
    fn rows_are_whole_blocks() {
        assert_eq!(Dtype::Q4_0.tensor_len(&[2, 3, 64]), Some(6 * 36));
        assert_eq!(Dtype::Q4_0.tensor_len(&[32, 16]), None);
        assert_eq!(Dtype::F32.tensor_len(&[]), Some(4));
        assert_eq!(Dtype::Q6_K.tensor_len(&[]), None);
        assert_eq!(Dtype::F16.tensor_len(&[0, 7]), Some(0));
        assert_eq!(Dtype::F32.tensor_len(&[usize::MAX / 2, 2]), None);
        assert_eq!(Dtype::Q8_0.tensor_len(&[usize::MAX / 8, 32]), None);
    }
}
