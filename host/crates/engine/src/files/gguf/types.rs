//! The numbers of tensor types (`enum ggml_type` in `ggml.h`).

use crate::files::dtype::Dtype;

const SUPPORTED: [(u32, Dtype); 17] = [
    (0, Dtype::F32),
    (1, Dtype::F16),
    (2, Dtype::Q4_0),
    (3, Dtype::Q4_1),
    (6, Dtype::Q5_0),
    (7, Dtype::Q5_1),
    (8, Dtype::Q8_0),
    (12, Dtype::Q4_K),
    (13, Dtype::Q5_K),
    (14, Dtype::Q6_K),
    (20, Dtype::IQ4_NL),
    (24, Dtype::I8),
    (25, Dtype::I16),
    (26, Dtype::I32),
    (27, Dtype::I64),
    (28, Dtype::F64),
    (30, Dtype::BF16),
];

const OTHERS: [(u32, &str); 23] = [
    (4, "Q4_2, which ggml gave up"),
    (5, "Q4_3, which ggml gave up"),
    (9, "Q8_1"),
    (10, "Q2_K"),
    (11, "Q3_K"),
    (15, "Q8_K"),
    (16, "IQ2_XXS"),
    (17, "IQ2_XS"),
    (18, "IQ3_XXS"),
    (19, "IQ1_S"),
    (21, "IQ3_S"),
    (22, "IQ2_S"),
    (23, "IQ4_XS"),
    (29, "IQ1_M"),
    (31, "Q4_0_4_4, which ggml gave up"),
    (32, "Q4_0_4_8, which ggml gave up"),
    (33, "Q4_0_8_8, which ggml gave up"),
    (34, "TQ1_0"),
    (35, "TQ2_0"),
    (36, "IQ4_NL_4_4, which ggml gave up"),
    (37, "IQ4_NL_4_8, which ggml gave up"),
    (38, "IQ4_NL_8_8, which ggml gave up"),
    (39, "MXFP4"),
];

/// The type of a number.
///
/// # Errors
/// Its name, where it has one.
pub fn dtype_of(number: u32) -> Result<Dtype, String> {
    let known = SUPPORTED.iter().find(|(known, _)| *known == number).map(|(_, dtype)| *dtype);
    known.ok_or_else(|| match OTHERS.iter().find(|(known, _)| *known == number) {
        Some((_, name)) => (*name).into(),
        None => format!("number {number}"),
    })
}

/// The number of a type, where GGUF has one.
pub fn number_of(dtype: Dtype) -> Option<u32> {
    SUPPORTED.iter().find(|(_, known)| *known == dtype).map(|(number, _)| *number)
}

/// The types that are read, for messages.
pub fn supported() -> String {
    SUPPORTED.map(|(_, dtype)| dtype.name()).join(", ")
}
