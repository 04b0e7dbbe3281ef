//! A fixed 128-bit hash: fast, stable, not meant to withstand an attacker.

const MULTIPLIERS: [u64; 2] = [0x9e37_79b9_7f4a_7c15, 0xd6e8_feb8_6659_fd93];
const SEEDS: [u64; 2] = [0x243f_6a88_85a3_08d3, 0x1319_8a2e_0370_7344];

/// A hash being fed.
#[derive(Clone, Debug)]
pub struct Hash128 {
    left: u64,
    right: u64,
    words: u64,
}

impl Hash128 {
    /// A hash that was fed nothing.
    pub fn new() -> Self {
        Self { left: SEEDS[0], right: SEEDS[1], words: 0 }
    }

    /// Takes one word.
    pub fn word(&mut self, word: u64) {
        self.words = self.words.wrapping_add(1);
        let left = folded(self.left ^ word, MULTIPLIERS[0]);
        let right = folded(self.right.wrapping_add(word) ^ self.words, MULTIPLIERS[1]);
        self.left = left ^ right.rotate_left(29);
        self.right = right.wrapping_add(self.left).rotate_left(17) ^ word;
    }

    /// Takes bytes and their number.
    pub fn bytes(&mut self, bytes: &[u8]) {
        let mut chunks = bytes.chunks_exact(size_of::<u64>());
        for chunk in &mut chunks {
            self.word(u64::from_le_bytes(chunk.try_into().expect("a chunk has eight bytes")));
        }
        let mut tail = [0; size_of::<u64>()];
        tail[..chunks.remainder().len()].copy_from_slice(chunks.remainder());
        self.word(u64::from_le_bytes(tail));
        self.word(bytes.len() as u64);
    }

    /// What came out.
    pub fn finish(mut self) -> u128 {
        let words = self.words;
        self.word(words);
        self.word(!words);
        (u128::from(self.left) << 64) | u128::from(self.right)
    }
}

/// Both halves of the product, one over the other.
fn folded(word: u64, multiplier: u64) -> u64 {
    let product = u128::from(word) * u128::from(multiplier);
    (product as u64) ^ ((product >> 64) as u64)
}
