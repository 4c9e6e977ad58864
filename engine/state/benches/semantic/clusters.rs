//! Vectors as embeddings lie: many topics, sentences around each, and paraphrases close to a sentence.

/// A row of numbers that is the same every time (splitmix64).
pub struct Numbers(pub u64);

impl Numbers {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// Below `end`.
    pub fn below(&mut self, end: usize) -> usize {
        (self.next() % end as u64) as usize
    }

    /// About normally distributed: the sum of four even ones.
    fn normal(&mut self) -> f32 {
        let bits = self.next();
        let sum: u64 = (0..4).map(|n| (bits >> (16 * n)) & 0xffff).sum();
        (sum as f32 / 65536.0 - 2.0) * 1.732
    }

    /// A vector of length 1.
    pub fn direction(&mut self, dims: usize) -> Vec<f32> {
        normalised((0..dims).map(|_| self.normal()).collect())
    }

    /// A vector of length 1 whose cosine to `near` is about `cosine`.
    pub fn around(&mut self, near: &[f32], cosine: f32) -> Vec<f32> {
        let away = (1.0 - cosine * cosine).sqrt();
        let other = self.direction(near.len());
        normalised(near.iter().zip(other).map(|(n, o)| n * cosine + o * away).collect())
    }

    /// `count` sentences in topics of about 50, each at about 0.6 to the middle of its topic.
    pub fn sentences(&mut self, count: usize, dims: usize) -> Vec<Vec<f32>> {
        let topics: Vec<_> = (0..(count / 50).max(1)).map(|_| self.direction(dims)).collect();
        (0..count)
            .map(|_| {
                let topic = self.below(topics.len());
                self.around(&topics[topic], 0.6)
            })
            .collect()
    }
}

fn normalised(mut vector: Vec<f32>) -> Vec<f32> {
    let length = vector.iter().map(|x| x * x).sum::<f32>().sqrt();
    vector.iter_mut().for_each(|x| *x /= length);
    vector
}

/// The nearest by exact arithmetic.
pub fn nearest(all: &[Vec<f32>], query: &[f32]) -> usize {
    let cosine = |v: &Vec<f32>| v.iter().zip(query).map(|(a, b)| a * b).sum::<f32>();
    let scored = all.iter().enumerate().map(|(index, vector)| (index, cosine(vector)));
    scored.max_by(|(_, a), (_, b)| a.total_cmp(b)).map_or(0, |(index, _)| index)
}
