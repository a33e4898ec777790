//! Texts to ask with.

/// Short common words: most vocabularies hold each as one token.
const WORDS: [&str; 32] = [
    "river", "house", "green", "paper", "light", "stone", "music", "table", "water", "horse", "bread",
    "glass", "cloud", "night", "train", "garden", "window", "bridge", "winter", "summer", "market", "letter",
    "silver", "forest", "island", "doctor", "farmer", "village", "morning", "evening", "kitchen", "mountain",
];

/// Texts of which no two begin alike, also not those of another process: no cache knows them.
pub(super) struct Prompts {
    random: fastrand::Rng,
}

impl Prompts {
    pub fn new() -> Self {
        Self { random: fastrand::Rng::new() }
    }

    /// So many words.
    pub fn words(&mut self, count: usize) -> String {
        let words: Vec<_> = (0..count).map(|_| WORDS[self.random.usize(..WORDS.len())]).collect();
        words.join(" ")
    }
}

/// Asks for a text that is longer than anybody measures.
pub(super) fn story(index: usize) -> String {
    let [who, place] = [index, index / WORDS.len() + 7 * index + 3].map(|at| WORDS[at % WORDS.len()]);
    format!(
        "Write a very long story, in many chapters, about a {who} and a {place}. Tell every chapter in detail \
         and do not stop before the tenth."
    )
}
