//! Sets of outcomes.

/// A set of small numbers.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub(crate) struct Outcomes(Box<[u64]>);

impl Outcomes {
    /// The numbers below `count`.
    pub(crate) fn all(count: u32) -> Self {
        let mut set = Self::none(count);
        (0..count).for_each(|number| set.insert(number));
        set
    }

    /// No number, with room for those below `count`.
    pub(crate) fn none(count: u32) -> Self {
        Self(vec![0; count.div_ceil(64) as usize].into())
    }

    /// One number or none.
    pub(crate) fn only(count: u32, number: Option<u32>) -> Self {
        let mut set = Self::none(count);
        number.into_iter().for_each(|number| set.insert(number));
        set
    }

    /// The same numbers and `by` more each, with room for those below `count`.
    pub(crate) fn moved(&self, by: u32, count: u32) -> Self {
        let mut set = Self::none(count);
        self.iter().for_each(|number| set.insert(number + by));
        set
    }

    /// Adds a number below the count of the set; others are left out.
    pub(crate) fn insert(&mut self, number: u32) {
        if let Some(word) = self.0.get_mut(number as usize / 64) {
            *word |= 1 << (number % 64);
        }
    }

    /// Takes all of `other` away.
    pub(crate) fn remove(&mut self, other: &Self) {
        self.0.iter_mut().zip(&other.0).for_each(|(own, other)| *own &= !other);
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.iter().all(|word| *word == 0)
    }

    pub(crate) fn contains(&self, number: u32) -> bool {
        self.0.get(number as usize / 64).is_some_and(|word| word >> (number % 64) & 1 == 1)
    }

    pub(crate) fn intersects(&self, other: &Self) -> bool {
        self.0.iter().zip(&other.0).any(|(a, b)| a & b != 0)
    }

    pub(crate) fn contains_all(&self, other: &Self) -> bool {
        let extra = other.0.iter().skip(self.0.len()).any(|word| *word != 0);
        !extra && self.0.iter().zip(&other.0).all(|(own, other)| own & other == *other)
    }

    /// Adds all of `other`; whether that changed anything.
    pub(crate) fn add(&mut self, other: &Self) -> bool {
        let mut changed = false;
        for (own, other) in self.0.iter_mut().zip(&other.0) {
            changed |= *own | other != *own;
            *own |= other;
        }
        changed
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = u32> {
        let bits = |(index, word): (usize, &u64)| {
            let word = *word;
            (0..64).filter(move |bit| word >> bit & 1 == 1).map(move |bit| index as u32 * 64 + bit)
        };
        self.0.iter().enumerate().flat_map(bits)
    }
}
