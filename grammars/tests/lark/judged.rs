//! Texts written by following masks, against recognisers that know nothing of ours.

use understudy_grammars::measure::Case;
use understudy_grammars::measure::complete::complete;

use crate::support::{pattern, vocabulary};
use crate::verdicts::sections;

/// What walks write under some grammars of [`VERDICTS`], judged by recognisers that know nothing of ours.
#[test]
fn what_is_written_is_of_the_language() {
    type Judge = fn(&str) -> bool;
    let judges: [(&str, Judge); 4] =
        [("json", is_json), ("arithmetic", is_sum), ("s-expressions", is_nested), ("csv", is_csv)];
    let sections = sections();
    for (name, judge) in judges {
        let case = Case { name: name.into(), pattern: pattern(sections[name].0), samples: Vec::new() };
        let completed = complete(&[case], &vocabulary(), 250, 3, true);
        assert_eq!(completed.texts.len(), 250, "{name}");
        for (_, text) in completed.texts {
            let text = String::from_utf8(text).expect("UTF-8");
            assert!(judge(&text), "{name}: {text:?}");
        }
    }
}

fn is_json(text: &str) -> bool {
    serde_json::from_str::<serde::de::IgnoredAny>(text).is_ok()
}

/// Sums, products, signs and parentheses, by the positions that each operand may end at.
fn is_sum(text: &str) -> bool {
    fn operand(text: &[u8], mut at: usize) -> Option<usize> {
        while text.get(at) == Some(&b'-') {
            at += 1;
        }
        if text.get(at) == Some(&b'(') {
            let end = sum(text, at + 1)?;
            return (text.get(end) == Some(&b')')).then_some(end + 1);
        }
        let digits = text[at..].iter().take_while(|byte| byte.is_ascii_digit()).count();
        (digits > 0).then_some(at + digits)
    }
    fn sum(text: &[u8], at: usize) -> Option<usize> {
        let mut end = operand(text, at)?;
        while text.get(end).is_some_and(|byte| b"+-*/".contains(byte)) {
            end = operand(text, end + 1)?;
        }
        Some(end)
    }
    let dense: Vec<u8> = text.bytes().filter(|byte| !byte.is_ascii_whitespace()).collect();
    // A blank within a number would be lost.
    let parts: Vec<&str> = text.split_ascii_whitespace().collect();
    let digit = |part: &str, last: bool| {
        let byte = if last { part.bytes().last() } else { part.bytes().next() };
        byte.is_some_and(|byte| byte.is_ascii_digit())
    };
    let split = parts.windows(2).any(|pair| digit(pair[0], true) && digit(pair[1], false));
    !split && sum(&dense, 0) == Some(dense.len())
}

fn is_nested(text: &str) -> bool {
    let (mut depth, mut whole, mut in_word) = (0_usize, 0, false);
    for byte in text.bytes() {
        let word = byte.is_ascii_lowercase();
        match byte {
            b'(' => {
                whole += usize::from(depth == 0);
                depth += 1;
            }
            b')' if depth == 0 => return false,
            b')' => depth -= 1,
            _ if word => whole += usize::from(depth == 0 && !in_word),
            _ if byte.is_ascii_whitespace() => {}
            _ => return false,
        }
        in_word = word;
    }
    depth == 0 && whole == 1
}

fn is_csv(text: &str) -> bool {
    let mut rest = text;
    loop {
        if let Some(quoted) = rest.strip_prefix('"') {
            let Some(end) = quoted.replace("\"\"", "__").find('"') else { return false };
            rest = &quoted[end + 1..];
        } else {
            let end = rest.find(['"', ',', '\n']).unwrap_or(rest.len());
            rest = &rest[end..];
        }
        match rest.strip_prefix([',', '\n']) {
            Some(after) => rest = after,
            None => return rest.is_empty(),
        }
    }
}
