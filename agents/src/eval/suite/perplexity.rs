//! How likely a model finds a text: windows of tokens, each scored on its own, none
//! overlapping. Figures of models with different tokenizers do not compare.

use std::path::Path;
use std::time::Duration;

use serde_json::Value;
use understudy_proto::v1::TokenizeRequest;

use crate::Client;
use crate::eval::EvalError;
use crate::eval::suite::{Item, Loaded, Work, data};

/// Tokens of a window, and from one window's start to the next.
const WINDOW: usize = 512;
/// Of a text that is cut into tokens at once: below what a request may have.
const PIECE_BYTES: usize = 1 << 20;
/// For the tokens of a piece; the model may have to be loaded first.
const PATIENCE: Duration = Duration::from_secs(600);

pub(super) async fn load(folder: &Path, client: &Client, model: &str) -> Result<Loaded, EvalError> {
    let files = data::files(folder, "txt")?;
    if files.is_empty() {
        return Err(EvalError::input(format!("--data {}: no .txt file in it", folder.display())));
    }
    let mut items = Vec::new();
    for path in files {
        let text = data::read(&path)?;
        let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        let ids = tokens(&text, client, model).await?;
        // A window of one token has none to predict without a beginning token.
        let windows = ids.chunks(WINDOW).filter(|window| window.len() > 1).enumerate();
        items.extend(windows.map(|(index, window)| Item {
            id: format!("{name}#{index}"),
            work: Work::Score { ids: window.to_vec() },
            expected: Value::Null,
        }));
    }
    if items.is_empty() {
        return Err(EvalError::input(format!("--data {}: its texts are too short", folder.display())));
    }
    Ok(Loaded { items, skipped: Default::default() })
}

/// Tokens of a whole text, cut before line breaks where it is too long for one request.
async fn tokens(text: &str, client: &Client, model: &str) -> Result<Vec<u32>, EvalError> {
    let mut ids = Vec::new();
    for piece in pieces(text, PIECE_BYTES) {
        let request = TokenizeRequest { model: model.to_owned(), text: piece.to_owned() };
        ids.extend(client.tokenize(request, PATIENCE).await?.ids);
    }
    Ok(ids)
}

/// Pieces of at most `most` bytes, cut before a line break if there is one, and never inside
/// of a character.
fn pieces(text: &str, most: usize) -> Vec<&str> {
    let mut pieces = Vec::new();
    let mut rest = text;
    while rest.len() > most {
        let limit = (1..=most).rev().find(|&at| rest.is_char_boundary(at)).unwrap_or(rest.len());
        let at = rest[..limit].rfind('\n').filter(|&at| at > 0).unwrap_or(limit);
        let (piece, after) = rest.split_at(at);
        pieces.push(piece);
        rest = after;
    }
    if !rest.is_empty() {
        pieces.push(rest);
    }
    pieces
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_are_the_text() {
        for (text, most) in
            [("", 4), ("abc", 4), ("ab\ncd\nef", 4), ("abcdefghij", 4), ("éééé\né", 3), ("\n\n\n\n", 2)]
        {
            let pieces = pieces(text, most);
            assert_eq!(pieces.concat(), text);
            assert!(pieces.iter().all(|piece| !piece.is_empty() && piece.len() <= most), "{pieces:?}");
        }
        assert_eq!(pieces("ab\ncd\nef", 4), ["ab", "\ncd", "\nef"]);
    }
}
