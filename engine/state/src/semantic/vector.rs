//! Vectors in a byte per dimension.

use simsimd::SpatialSimilarity;

/// A vector quantised to bytes by its largest component. The cosine of two keeps about three digits.
#[derive(Clone, Debug, Default)]
pub(super) struct Code {
    pub(super) bytes: Vec<i8>,
    /// One over the length of `bytes` as a vector; 0 for the zero vector.
    pub(super) inverse: f32,
}

impl Code {
    pub(super) fn of(vector: &[f32]) -> Self {
        let largest = vector.iter().fold(0_f32, |largest, x| largest.max(x.abs()));
        let scale = if largest > 0.0 && largest.is_finite() { 127.0 / largest } else { 0.0 };
        #[allow(clippy::cast_possible_truncation, reason = "scaled to ±127; the cast saturates")]
        let bytes: Vec<i8> = vector.iter().map(|x| (x * scale).round() as i8).collect();
        let square = dot(&bytes, &bytes);
        Self { bytes, inverse: if square > 0.0 { square.sqrt().recip() } else { 0.0 } }
    }

    pub(super) fn len(&self) -> usize {
        self.bytes.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }
}

/// Codes one behind the other, so that a scan reads memory in order.
#[derive(Debug, Default)]
pub(super) struct Codes {
    bytes: Vec<i8>,
    inverses: Vec<f32>,
}

impl Codes {
    pub(super) fn len(&self) -> usize {
        self.inverses.len()
    }

    pub(super) fn push(&mut self, bytes: &[i8], inverse: f32) {
        self.bytes.extend_from_slice(bytes);
        self.inverses.push(inverse);
    }

    pub(super) fn get(&self, index: usize) -> Option<(&[i8], f32)> {
        let inverse = *self.inverses.get(index)?;
        let dims = self.bytes.len() / self.inverses.len();
        Some((self.bytes.get(index * dims..(index + 1) * dims)?, inverse))
    }

    /// Puts another code in the place of one.
    pub(super) fn set(&mut self, index: usize, code: &Code) {
        let dims = code.len();
        if let Some(bytes) = self.bytes.get_mut(index * dims..(index + 1) * dims)
            && let Some(inverse) = self.inverses.get_mut(index)
        {
            bytes.copy_from_slice(&code.bytes);
            *inverse = code.inverse;
        }
    }

    /// Removes one and puts the last in its place.
    pub(super) fn swap_remove(&mut self, index: usize) {
        let Some(last) = self.inverses.len().checked_sub(1).filter(|last| index <= *last) else { return };
        let dims = self.bytes.len() / self.inverses.len();
        self.bytes.copy_within(last * dims.., index * dims);
        self.bytes.truncate(last * dims);
        self.inverses.swap_remove(index);
    }

    /// All of them with their cosines to a code.
    pub(super) fn cosines<'a>(&'a self, code: &'a Code) -> impl Iterator<Item = f32> + 'a {
        let rows = self.bytes.chunks_exact(code.len().max(1));
        rows.zip(&self.inverses).map(|(row, inverse)| dot(row, &code.bytes) * inverse * code.inverse)
    }

    /// The cosine of one of them to another vector.
    pub(super) fn cosine_at(&self, index: usize, bytes: &[i8], inverse: f32) -> f32 {
        self.get(index).map_or(f32::NEG_INFINITY, |(row, own)| dot(row, bytes) * own * inverse)
    }

    /// The cosine of one of them to another of them.
    pub(super) fn between(&self, a: usize, b: usize) -> f32 {
        self.get(b).map_or(f32::NEG_INFINITY, |(bytes, inverse)| self.cosine_at(a, bytes, inverse))
    }

    /// The direction in which they lie together.
    pub(super) fn mean(&self) -> Vec<f32> {
        let dims = self.bytes.len().checked_div(self.inverses.len()).unwrap_or(0);
        let mut sum = vec![0_f32; dims];
        for (row, inverse) in self.bytes.chunks_exact(dims.max(1)).zip(&self.inverses) {
            for (total, byte) in sum.iter_mut().zip(row) {
                *total += f32::from(*byte) * inverse;
            }
        }
        sum
    }
}

/// The inner product of two rows of the same length.
pub(super) fn dot(a: &[i8], b: &[i8]) -> f32 {
    #[allow(clippy::cast_possible_truncation, reason = "products of bytes over a few thousand dimensions")]
    let dot = i8::dot(a, b).unwrap_or(0.0) as f32;
    dot
}
