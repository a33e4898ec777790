//! Code blocks of an answer.

/// The code of an answer: the inside of its first code block, which may lack its end, else the whole answer.
pub fn code(answer: &str) -> &str {
    blocks(answer).next().unwrap_or(answer)
}

/// Insides of code blocks; the last may be unclosed.
pub fn blocks(answer: &str) -> impl Iterator<Item = &str> {
    answer.split("```").skip(1).step_by(2).map(|code| match code.split_once('\n') {
        // A first line of one word names the language.
        Some((first, rest)) if !first.trim().contains(char::is_whitespace) => rest,
        _ => code,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_block_is_the_code() {
        let cases = [
            ("```python\na = 1\n```\nor\n```\nb = 2\n```", "a = 1\n"),
            ("Sure:\n```py\na = 1\n", "a = 1\n"),
            ("a = 1\n", "a = 1\n"),
            ("```\na = 1```", "a = 1"),
            ("", ""),
        ];
        for (answer, wanted) in cases {
            assert_eq!(code(answer), wanted, "{answer:?}");
        }
    }
}
