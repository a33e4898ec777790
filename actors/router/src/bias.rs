//! A bias names tokens by id, so it means one vocabulary.

use understudy_engine::sampling::check_bias;

use crate::RouterError;
use crate::desk::{Desk, Trouble};
use crate::plan::Cast;

/// The field that is wrong, where one is.
pub(crate) const FIELD: &str = "sampling.logit_bias";

/// Before anything is written: every rung has the vocabulary of the first, and the bias is in it. A vocabulary
/// is known once its model is loaded, so a request with a bias loads all its rungs.
///
/// # Errors
/// [`RouterError::Invalid`], or a model cannot be had.
pub(crate) async fn check(desk: &Desk<'_>, cast: &Cast) -> Result<(), Trouble> {
    let (ctx, bias) = (&desk.job.ctx, &desk.job.request.sampler.logit_bias);
    if bias.is_empty() {
        return Ok(());
    }
    let mut first: Option<String> = None;
    for rung in &cast.rungs {
        let codec = desk.backend(ctx, &rung.model).await?.codec();
        match &first {
            Some(digest) if digest != codec.digest() => {
                let why = format!("means tokens of {}, and {} has others", cast.model(0), rung.model);
                return Err(RouterError::invalid(FIELD, why).into());
            }
            Some(_) => {}
            None => {
                let checked = check_bias(bias, codec.vocab_size());
                checked.map_err(|wrong| RouterError::invalid(FIELD, wrong.to_string()))?;
                first = Some(codec.digest().to_owned());
            }
        }
    }
    Ok(())
}
