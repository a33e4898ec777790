//! A model file taken apart, changed where a reader believes it, and put together again.

use super::random::Random;

/// A GGUF file as its entries. Lengths and counts are written from what is here unless a change
/// says otherwise, so that most changed files get past the first check.
#[derive(Clone)]
pub struct Parts {
    version: u32,
    counts: [Option<u64>; 2],
    tensors: Vec<Entry>,
    keys: Vec<Entry>,
    data: Vec<u8>,
    cut: Option<usize>,
}

/// A key with its value, or a line of the tensor table.
#[derive(Clone, Default)]
struct Entry {
    bytes: Vec<u8>,
    /// Where the value begins, after the key's name; 0 for tensors.
    value: usize,
    /// Every number in it that is a length, a type, a size or an offset: where, and how wide.
    numbers: Vec<(usize, usize)>,
}

const ALIGNMENT: usize = 32;

impl Parts {
    /// Takes a sound file apart.
    pub fn of(file: &[u8]) -> Self {
        let mut walk = Walk { file, at: 4, entry: Entry::default() };
        let version = walk.number(4) as u32;
        let (tensors, keys) = (walk.number(8), walk.number(8));
        let keys = (0..keys).map(|_| walk.key()).collect();
        let tensors = (0..tensors).map(|_| walk.tensor()).collect();
        let data = file[walk.at.next_multiple_of(ALIGNMENT)..].to_vec();
        Self { version, counts: [None; 2], tensors, keys, data, cut: None }
    }

    /// The file.
    pub fn bytes(&self) -> Vec<u8> {
        let mut file = b"GGUF".to_vec();
        file.extend(self.version.to_le_bytes());
        for (count, entries) in self.counts.iter().zip([&self.tensors, &self.keys]) {
            file.extend(count.unwrap_or(entries.len() as u64).to_le_bytes());
        }
        for entry in self.keys.iter().chain(&self.tensors) {
            file.extend(&entry.bytes);
        }
        file.resize(file.len().next_multiple_of(ALIGNMENT), 0);
        file.extend(&self.data);
        file.truncate(self.cut.unwrap_or(usize::MAX));
        file
    }

    /// Makes one change.
    pub fn change(&mut self, random: &mut Random) {
        match random.below(24) {
            0..6 => self.change_number(random),
            6 => {
                let entry = self.entry(random);
                let at = random.below(entry.bytes.len());
                entry.bytes[at] = random.below(256) as u8;
            }
            7..10 => self.change_text(random),
            10..12 => self.swap_values(random),
            12 => _ = self.keys.remove(random.below(self.keys.len())),
            13 => _ = self.tensors.remove(random.below(self.tensors.len())),
            14 => {
                let twin = self.entry(random).clone();
                let entries = if twin.value == 0 { &mut self.tensors } else { &mut self.keys };
                entries.push(twin);
            }
            15..18 => {
                // Halves and singles that are no numbers, or very large ones.
                let value = [0x7c00_u16, 0x7e01, 0xffff, 0xfc00, 0x7bff, 0x0001][random.below(6)];
                for _ in 0..8 {
                    let at = random.below(self.data.len() / 2) * 2;
                    self.data[at..at + 2].copy_from_slice(&value.to_le_bytes());
                }
            }
            18 => self.counts[random.below(2)] = Some(random.extreme(self.keys.len() as u64)),
            19..21 => self.reshape(random),
            21..23 => self.adopt(random),
            _ => self.cut = Some(random.below(self.bytes().len())),
        }
    }

    fn entry(&mut self, random: &mut Random) -> &mut Entry {
        match random.below(self.keys.len() + self.tensors.len()) {
            at if at < self.keys.len() => &mut self.keys[at],
            at => &mut self.tensors[at - self.keys.len()],
        }
    }

    /// A length, type, size or offset becomes another number that readers stumble over.
    fn change_number(&mut self, random: &mut Random) {
        let entry = self.entry(random);
        // The last number of a key is its value, or part of it.
        let which = random.below(2 * entry.numbers.len()).min(entry.numbers.len() - 1);
        let (at, width) = entry.numbers[which];
        let mut number = [0; 8];
        number[..width].copy_from_slice(&entry.bytes[at..at + width]);
        let number = random.extreme(u64::from_le_bytes(number)).to_le_bytes();
        entry.bytes[at..at + width].copy_from_slice(&number[..width]);
    }

    /// A key's value becomes a text that some part of the engine takes seriously.
    fn change_text(&mut self, random: &mut Random) {
        const TEXTS: [&str; 14] = [
            "",
            "llama",
            "qwen2",
            "qwen3",
            "gemma3",
            "gpt2",
            "llama-bpe",
            "\u{0}\u{fffd}<0x0A>",
            "{{ messages }}{{ messages[9].role }}",
            "{% for a in range(9999) %}{% for b in range(9999) %}{{ a }}{% endfor %}{% endfor %}",
            "{{ 'a' | indent(99999999999999) }}",
            "{{ 'a'.center(99999999999999) }}{{ 'a' * 99999999999 }}",
            "{{ range(3) | batch(99999999999, 0) | list }}{{ range(3) | slice(99999999999, 0) | list }}",
            "{% macro f(x) %}{{ f(x ~ x) }}{% endmacro %}{{ f('ab') }}",
        ];
        let text = TEXTS[random.below(TEXTS.len())];
        let Some(entry) = self.keys.iter_mut().filter(|key| key.is_text()).nth(random.below(6)) else {
            return;
        };
        entry.put_text(text);
    }

    /// Other shapes that agree with each other: heads too narrow or too many, or fewer tokens than
    /// the text side has.
    fn reshape(&mut self, random: &mut Random) {
        let narrower = 1 << random.below(6);
        for (key, value) in [
            (".attention.head_count", 4 * narrower),
            (".attention.head_count_kv", 2 * narrower),
            (".attention.key_length", 32 / narrower),
        ] {
            self.set(key, value);
        }
        if random.below(2) == 0 {
            let rows = 1 + random.below(512) as u64;
            for tensor in &mut self.tensors {
                let matrix = tensor.bytes.windows(8).any(|bytes| bytes == 512_u64.to_le_bytes());
                if let Some(&(at, _)) = tensor.numbers.get(3).filter(|_| matrix) {
                    tensor.bytes[at..at + 8].copy_from_slice(&rows.to_le_bytes());
                }
            }
        }
    }

    /// The same file as a model of another family, whose own keys and tensors it lacks or not.
    fn adopt(&mut self, random: &mut Random) {
        let family = ["llama", "qwen2", "gemma3"][random.below(3)];
        for key in &mut self.keys {
            let text =
                String::from_utf8_lossy(&key.bytes[8..key.value]).replace("qwen3.", &format!("{family}."));
            let value = key.bytes.split_off(key.value);
            key.bytes = [&(text.len() as u64).to_le_bytes(), text.as_bytes()].concat();
            let (from, to) = (key.value, key.bytes.len());
            key.numbers.iter_mut().filter(|(at, _)| *at >= from).for_each(|(at, _)| *at = *at - from + to);
            key.value = to;
            key.bytes.extend(value);
            if text == "general.architecture" {
                key.put_text(family);
            }
        }
    }

    /// Gives the keys that end so another 32-bit value.
    fn set(&mut self, ending: &str, value: u32) {
        for key in &mut self.keys {
            let at = key.value + 4;
            if key.bytes[8..key.value].ends_with(ending.as_bytes()) && key.bytes.len() == at + 4 {
                key.bytes[at..].copy_from_slice(&value.to_le_bytes());
            }
        }
    }

    /// Two keys swap their values: each is sound, of a type or a length that nobody expects.
    fn swap_values(&mut self, random: &mut Random) {
        let [a, b] = [0; 2].map(|_| random.below(self.keys.len()));
        let value = |key: &Entry| key.bytes[key.value..].to_vec();
        let (of_a, of_b) = (value(&self.keys[a]), value(&self.keys[b]));
        for (key, other) in [(a, of_b), (b, of_a)] {
            let entry = &mut self.keys[key];
            entry.bytes.truncate(entry.value);
            entry.bytes.extend(other);
            // The places of the numbers went with the value; its type is still one.
            entry.numbers = vec![(0, 8), (entry.value, 4)];
        }
    }
}

impl Entry {
    fn put_text(&mut self, text: &str) {
        self.bytes.truncate(self.value + 4);
        self.bytes.extend((text.len() as u64).to_le_bytes());
        self.bytes.extend(text.as_bytes());
    }

    fn is_text(&self) -> bool {
        self.bytes[self.value..].starts_with(&8_u32.to_le_bytes())
    }
}

/// A position in a sound file, and the entry that it is in.
struct Walk<'a> {
    file: &'a [u8],
    at: usize,
    entry: Entry,
}

impl Walk<'_> {
    fn skip(&mut self, count: usize) {
        self.entry.bytes.extend(&self.file[self.at..self.at + count]);
        self.at += count;
    }

    fn number(&mut self, width: usize) -> u64 {
        self.entry.numbers.push((self.entry.bytes.len(), width));
        let mut number = [0; 8];
        number[..width].copy_from_slice(&self.file[self.at..self.at + width]);
        self.skip(width);
        u64::from_le_bytes(number)
    }

    fn text(&mut self) {
        let len = self.number(8) as usize;
        self.skip(len);
    }

    fn key(&mut self) -> Entry {
        self.entry = Entry::default();
        self.text();
        self.entry.value = self.entry.bytes.len();
        let kind = self.number(4);
        self.value(kind);
        std::mem::take(&mut self.entry)
    }

    fn value(&mut self, kind: u64) {
        match kind {
            8 => self.text(),
            9 => {
                let (kind, len) = (self.number(4), self.number(8));
                (0..len).for_each(|_| self.value(kind));
            }
            0 | 1 | 7 => _ = self.number(1),
            2 | 3 => _ = self.number(2),
            4..=6 => _ = self.number(4),
            _ => _ = self.number(8),
        }
    }

    fn tensor(&mut self) -> Entry {
        self.entry = Entry::default();
        self.text();
        let rank = self.number(4);
        (0..rank).for_each(|_| _ = self.number(8));
        self.number(4);
        self.number(8);
        std::mem::take(&mut self.entry)
    }
}
