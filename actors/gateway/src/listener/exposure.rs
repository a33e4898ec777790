//! At which addresses a node may listen at all.

use crate::{Failure, NodeConfig, codes};

/// Loopback is this machine's own. Elsewhere strangers connect, so a node wants TLS and keys, unless it is told
/// that it should do without.
///
/// # Errors
/// `LISTEN_EXPOSED` naming the setting and what is missing.
pub(crate) fn check(config: &NodeConfig, has_keys: bool) -> Result<(), Failure> {
    let missing = match (config.tls.is_some(), has_keys) {
        _ if config.listen.insecure => return Ok(()),
        (true, true) => return Ok(()),
        (false, true) => "without TLS",
        (true, false) => "without keys",
        (false, false) => "without TLS and keys",
    };
    for (setting, addr) in [("listen.grpc", config.listen.grpc), ("listen.http", config.listen.http)] {
        if !addr.ip().to_canonical().is_loopback() {
            let message = format!("{addr} ({setting}) can be reached by others, {missing}");
            return Err(Failure::new(codes::LISTEN_EXPOSED, message)
                .with("address", addr)
                .with("setting", setting));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strangers_need_tls_and_keys() {
        let tls = "[tls]\ncert = \"c\"\nkey = \"k\"\n";
        for (settings, has_keys, missing) in [
            ("", false, None),
            ("[listen]\nhttp = \"[::1]:1\"", false, None),
            (
                "[listen]\nhttp = \"0.0.0.0:1\"",
                false,
                Some("listen.http) can be reached by others, without TLS and keys"),
            ),
            (
                "[listen]\ngrpc = \"192.168.1.2:1\"",
                true,
                Some("listen.grpc) can be reached by others, without TLS"),
            ),
            ("[listen]\ngrpc = \"[::]:1\"", false, Some("without TLS and keys")),
            (&format!("{tls}[listen]\nhttp = \"0.0.0.0:1\""), false, Some("without keys")),
            (&format!("{tls}[listen]\nhttp = \"0.0.0.0:1\""), true, None),
            ("[listen]\nhttp = \"0.0.0.0:1\"\ninsecure = true", false, None),
        ] {
            let config = NodeConfig::parse(settings, "test").unwrap();
            let refused = check(&config, has_keys).err().map(|failure| failure.message);
            match missing {
                None => assert_eq!(refused, None, "{settings}"),
                Some(words) => assert!(refused.is_some_and(|message| message.ends_with(words)), "{settings}"),
            }
        }
    }
}
