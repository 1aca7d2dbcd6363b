//! Reading numbers and strings of bytes that nobody vouches for: nothing is taken that is not there.

/// A place in bytes. Errors are what was found, in words.
#[derive(Clone)]
pub struct Cursor<'a> {
    bytes: &'a [u8],
    at: usize,
    /// Whether something was due that is not there.
    is_short: bool,
}

impl<'a> Cursor<'a> {
    pub fn new(bytes: &'a [u8], at: usize) -> Self {
        Self { bytes, at, is_short: false }
    }

    pub fn at(&self) -> usize {
        self.at
    }

    pub fn is_short(&self) -> bool {
        self.is_short
    }

    pub fn left(&self) -> usize {
        self.bytes.len() - self.at
    }

    pub fn take(&mut self, len: usize) -> Result<&'a [u8], String> {
        let end = self.at.checked_add(len).filter(|&end| end <= self.bytes.len());
        let Some(end) = end else {
            self.is_short = true;
            return Err(format!("one that ends at byte {}, where {len} more from byte {} on were due", self.bytes.len(), self.at));
        };
        let taken = &self.bytes[self.at..end];
        self.at = end;
        Ok(taken)
    }

    pub fn chunk<const N: usize>(&mut self) -> Result<[u8; N], String> {
        Ok(*self.take(N)?.first_chunk().expect("as many bytes as were taken"))
    }

    pub fn u32(&mut self) -> Result<u32, String> {
        self.chunk().map(u32::from_le_bytes)
    }

    pub fn u64(&mut self) -> Result<u64, String> {
        self.chunk().map(u64::from_le_bytes)
    }

    /// A number of things that take `each` bytes at least, so that there cannot be more of them than fit into what is left.
    pub fn count(&mut self, of: &str, each: usize) -> Result<usize, String> {
        let count = self.u64()?;
        let fits = usize::try_from(count).ok().filter(|count| count.checked_mul(each).is_some_and(|bytes| bytes <= self.left()));
        self.is_short |= fits.is_none();
        fits.ok_or_else(|| format!("one that claims {count} {of} in the {} bytes that are left of it", self.left()))
    }

    /// As [`Self::count`], of no more than `most`.
    pub fn count_up_to(&mut self, most: u64, of: &str, each: usize) -> Result<usize, String> {
        match self.clone().u64()? {
            count if count > most => Err(format!("one that claims {count} {of}, where {most} are allowed")),
            _ => self.count(of, each),
        }
    }

    pub fn string(&mut self) -> Result<&'a str, String> {
        let (at, len) = (self.at, self.count("bytes of a string", 1)?);
        str::from_utf8(self.take(len)?).map_err(|_| format!("a string at byte {at} that is not UTF-8"))
    }

    /// Everything from `start` on that was read.
    pub fn since(&self, start: usize) -> &'a [u8] {
        &self.bytes[start..self.at]
    }
}
