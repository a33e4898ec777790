//! What keeps a template's work within its fuel.
//!
//! minijinja charges for instructions and for what they make, but not for what one instruction
//! walks over before it is done: forty times `{% set a = [a, a] %}` make a list of 2^40 elements in
//! forty places of memory, and printing it, comparing it or passing it to a filter visits each.
//! So a filter that walks first, and pays for every step, is put before each instruction that may
//! walk. Sums, products and slices of lists, which are made lazily, are written out at once: they
//! would hide as much. And what a namespace is given is copied, for the reason in `flat`.

use minijinja::machinery::{Instruction, Instructions};

/// The filters' names.
pub(super) const PAID: &str = "(paid)";
pub(super) const LISTED: &str = "(listed)";
pub(super) const FLAT: &str = "(flat)";

/// What looks at the outside of a value only: a template may ask in each turn how many turns there
/// are.
const SHALLOW_FILTERS: [&str; 6] = ["length", "count", "first", "last", "default", "d"];
const SHALLOW_TESTS: [&str; 9] =
    ["defined", "undefined", "none", "string", "number", "boolean", "mapping", "sequence", "iterable"];

/// The same instructions with the filters among them.
pub(super) fn guarded<'s>(from: &Instructions<'s>) -> Instructions<'s> {
    let mut out = Instructions::new(from.name(), from.source());
    // Where each instruction went, with the filters before it; and where the last one ended.
    let mut places = vec![0];
    for at in 0.. {
        let Some(instruction) = from.get(at) else { break };
        let line = from.get_line(at).unwrap_or_default() as u16;
        let mut next = 0;
        for step in surrounded(instruction) {
            next = out.add_with_line(step, line) + 1;
        }
        places.push(next);
    }
    for at in 0.. {
        let Some(instruction) = out.get_mut(at) else { break };
        if let Instruction::Iterate(to)
        | Instruction::Jump(to)
        | Instruction::JumpIfFalse(to)
        | Instruction::JumpIfFalseOrPop(to)
        | Instruction::JumpIfTrueOrPop(to)
        | Instruction::BuildMacro(_, to, _) = instruction
        {
            *to = places.get(*to as usize).copied().unwrap_or(u32::MAX);
        }
    }
    out
}

/// An instruction with the filters that it needs before and after it.
fn surrounded<'s>(instruction: &Instruction<'s>) -> Vec<Instruction<'s>> {
    use Instruction as I;
    let steps =
        |before: &[I<'s>], after: &[I<'s>]| [before, std::slice::from_ref(instruction), after].concat();
    match instruction {
        I::ApplyFilter(name, ..) if SHALLOW_FILTERS.contains(name) => steps(&[], &[]),
        I::PerformTest(name, ..) if SHALLOW_TESTS.contains(name) => steps(&[], &[]),
        I::Emit | I::GetItem => steps(&[filter(PAID)], &[]),
        I::Eq | I::Ne | I::Gt | I::Gte | I::Lt | I::Lte | I::In | I::StringConcat => steps(&both(PAID), &[]),
        I::CompareAndPreserve(_) => steps(&both(PAID), &[]),
        I::SetAttr(_) => steps(&[I::Swap, filter(FLAT), I::Swap], &[]),
        I::Add | I::Mul | I::Slice => steps(&[], &[filter(LISTED)]),
        I::BuildMap(pairs) => steps(&paid(Some(2 * pairs)), &[]),
        I::ApplyFilter(_, count, _)
        | I::PerformTest(_, count, _)
        | I::CallFunction(_, count)
        | I::CallMethod(_, count)
        | I::CallObject(count) => steps(&paid(count.map(usize::from)), &[]),
        _ => steps(&[], &[]),
    }
}

/// Pays for so many arguments on the stack; without a count, it lies on top of them.
fn paid<'s>(count: Option<usize>) -> Vec<Instruction<'s>> {
    use Instruction as I;
    match count {
        Some(0) => vec![],
        Some(1) => vec![filter(PAID)],
        Some(2) => both(PAID).to_vec(),
        Some(_) => vec![I::BuildList(count), filter(PAID), I::UnpackLists(1), I::DiscardTop],
        None => vec![I::BuildList(None), filter(PAID), I::UnpackLists(1)],
    }
}

/// A filter for each of the two operands on the stack.
fn both<'s>(name: &'static str) -> [Instruction<'s>; 4] {
    [filter(name), Instruction::Swap, filter(name), Instruction::Swap]
}

fn filter<'s>(name: &'static str) -> Instruction<'s> {
    /// What the compiler gives to filters that it keeps no place for.
    const NO_PLACE: u8 = u8::MAX;
    Instruction::ApplyFilter(name, Some(1), NO_PLACE)
}
