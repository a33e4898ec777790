//! The frame of the report.

use sha2::{Digest, Sha256};

use crate::report::join::Joined;

/// Text as HTML shows it, in elements and in quoted attributes. Control characters, which HTML does not allow, become
/// replacement characters, and so do those that turn the direction of text, which could make it read as something else.
pub(crate) fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len() + text.len() / 8);
    for character in text.chars() {
        match character {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' => escaped.push('\u{fffd}'),
            '\n' | '\t' => escaped.push(character),
            control if control.is_control() => escaped.push('\u{fffd}'),
            other => escaped.push(other),
        }
    }
    escaped
}

/// The whole file. Only a script with the page's nonce runs; it is a digest of everything else, so nothing inside can
/// name it.
pub(crate) fn page(joined: &Joined<'_>, sections: &[String]) -> String {
    let header = &joined.files[0].header;
    let suite = escape(&header.identity.suite);
    let facts = escape(&format!(
        "{} items, data {}, seed {}, temperature {}",
        joined.items.len(),
        header.identity.data,
        header.identity.seed,
        header.identity.temperature
    ));
    let body = sections.concat();
    let nonce: String = Sha256::digest(&body).iter().take(16).map(|byte| format!("{byte:02x}")).collect();
    format!(
        "<!doctype html><html lang=en><head><meta charset=utf-8><meta name=viewport content=\"width=device-width, \
         initial-scale=1\"><meta http-equiv=Content-Security-Policy content=\"default-src 'none'; style-src \
         'nonce-{nonce}'; script-src 'nonce-{nonce}'; base-uri 'none'; form-action 'none'\"><title>{suite} · \
         understudy</title><style nonce={nonce}>{STYLE}</style></head><body><header><h1>{suite}</h1><p>{facts}</header>\
         <main>{body}</main><script nonce={nonce}>{SCRIPT}</script></body></html>\n"
    )
}

const STYLE: &str = include_str!("style.css");
const SCRIPT: &str = include_str!("filter.js");

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hostile_text_stays_text() {
        let found = escape("<img src=x onerror='a()'> & \"\u{0}\u{7}\u{202e}\u{2066}\nend");
        assert_eq!(
            found,
            "&lt;img src=x onerror=&#39;a()&#39;&gt; &amp; &quot;\u{fffd}\u{fffd}\u{fffd}\u{fffd}\nend"
        );
    }
}
