//! Rows of a weight in whatever way a file has them.

use std::borrow::Cow;
use std::ops::Range;

use crate::files::dequantize::dequantizer;
use crate::files::{Dtype, View};
use crate::{Error, Result};

/// Rows of a tensor, or columns as if they were rows. What was read of a mapped file is given back in the end.
pub struct Lines<'a> {
    /// The type of the elements, which are floats.
    pub dtype: Dtype,
    /// Rows.
    pub rows: usize,
    /// Values of a row.
    pub cols: usize,
    view: View<'a>,
    bytes: Cow<'a, [u8]>,
    /// The first row within the tensor.
    first: usize,
    /// Values of a row of the tensor, of which a row here is a column.
    stride: Option<usize>,
}

impl<'a> Lines<'a> {
    /// `[rows, cols]` of a tensor of whole rows, from its row `first` on; or with a `stride` of one that has rows of so many values, from its column
    /// `first` on. `subject` names the tensor.
    ///
    /// # Errors
    /// Elements that are no floats, or cannot be read; rows that are no whole blocks.
    pub fn of(subject: &str, view: View<'a>, [rows, cols]: [usize; 2], first: usize, stride: Option<usize>) -> Result<Self> {
        let dtype = view.dtype;
        let whole = dtype.byte_len(cols).is_some() && (stride.is_none() || dtype.block().0 == 1);
        if dequantizer(dtype).is_none() || !whole {
            let found = format!("{dtype} in rows of {cols}");
            return Err(Error::invalid(subject, "floats, or whole blocks of quantised ones", found, "give the model in another type"));
        }
        Ok(Self { dtype, rows, cols, bytes: view.bytes()?, view, first, stride })
    }

    /// Bytes of a row.
    pub fn row_bytes(&self) -> usize {
        self.dtype.byte_len(self.cols).expect("rows of whole blocks")
    }

    /// The bytes of some rows.
    pub fn raw(&self, rows: Range<usize>) -> Cow<'_, [u8]> {
        let (from, to, width) = (self.first + rows.start, self.first + rows.end, self.row_bytes());
        let Some(stride) = self.stride else { return Cow::Borrowed(&self.bytes[from * width..to * width]) };
        let size = self.dtype.block().1;
        let mut out = Vec::with_capacity(rows.len() * width);
        for column in from..to {
            for row in 0..self.cols {
                out.extend_from_slice(&self.bytes[(row * stride + column) * size..][..size]);
            }
        }
        out.into()
    }

    /// The values of some rows.
    pub fn floats(&self, rows: Range<usize>) -> Vec<f32> {
        let mut out = vec![0.0; rows.len() * self.cols];
        dequantizer(self.dtype).expect("floats")(&self.raw(rows), &mut out);
        out
    }

    /// Rows in pieces of about so many values.
    pub fn pieces(&self, values: usize) -> impl Iterator<Item = Range<usize>> + use<> {
        let (rows, step) = (self.rows, (values / self.cols.max(1)).max(1));
        (0..rows).step_by(step).map(move |start| start..rows.min(start + step))
    }
}

impl Drop for Lines<'_> {
    fn drop(&mut self) {
        self.view.release();
    }
}
