//! Codes in rows: two a byte, low nibble first, padded.

/// Rows are padded to this many weights (16 bytes) by [`PADDING`].
pub const ROW_ALIGN: usize = 32;

/// The nibbles that fill up a row, on every grid. Whatever its level there, nothing reads them as weights: products multiply them by zeros, counts
/// pass over them.
pub const PADDING: u8 = 8;

/// The weights of a stored row: `in_features` rounded up to [`ROW_ALIGN`].
pub fn padded(in_features: usize) -> usize {
    in_features.next_multiple_of(ROW_ALIGN)
}

/// The bytes of a stored row.
pub fn row_bytes(in_features: usize) -> usize {
    padded(in_features) / 2
}

/// Packs a row's codes two a byte, low nibble first, and fills the rest of `packed` with [`PADDING`].
///
/// `codes`: `[in_features]`; `packed`: `[row_bytes(in_features)]`.
pub fn pack_row(codes: &[u8], packed: &mut [u8]) {
    assert!(packed.len() * 2 >= codes.len(), "{} codes do not fit in {} bytes", codes.len(), packed.len());
    packed.fill(PADDING << 4 | PADDING);
    for (byte, pair) in packed.iter_mut().zip(codes.chunks(2)) {
        let high = pair.get(1).copied().unwrap_or(PADDING);
        *byte = high << 4 | (pair[0] & 15);
    }
}

/// Unpacks the first `codes.len()` codes of a row.
pub fn unpack_row(packed: &[u8], codes: &mut [u8]) {
    assert!(packed.len() * 2 >= codes.len(), "{} bytes do not hold {} codes", packed.len(), codes.len());
    for (pair, &byte) in codes.chunks_mut(2).zip(packed) {
        pair[0] = byte & 15;
        if let Some(high) = pair.get_mut(1) {
            *high = byte >> 4;
        }
    }
}

/// The code at `index` of a packed row.
#[inline(always)]
pub fn get(packed: &[u8], index: usize) -> u8 {
    packed[index / 2] >> (4 * (index & 1)) & 15
}

/// Replaces the code at `index` of a packed row.
#[inline(always)]
pub fn set(packed: &mut [u8], index: usize, code: u8) {
    let shift = 4 * (index & 1);
    let byte = &mut packed[index / 2];
    *byte = *byte & !(15 << shift) | (code & 15) << shift;
}

/// Adds the row's codes to `counts`, by code; padding is not counted.
pub fn histogram(packed_row: &[u8], in_features: usize, counts: &mut [u32; 16]) {
    for &byte in &packed_row[..in_features / 2] {
        counts[(byte & 15) as usize] += 1;
        counts[(byte >> 4) as usize] += 1;
    }
    if in_features % 2 == 1 {
        counts[get(packed_row, in_features - 1) as usize] += 1;
    }
}
