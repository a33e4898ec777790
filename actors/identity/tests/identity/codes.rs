//! Each error leads to a page of the book.

use std::path::Path;

use understudy_identity::{IdentityError, InviteError, PairingError, PeerProblem};

#[test]
fn every_code_has_a_page() {
    let pages = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/errors");
    let damaged = IdentityError::Damaged { path: "node.key".into(), what: "it is cut short".into() };
    let codes = [
        IdentityError::AlreadyMember { name: "lab".into() }.code(),
        IdentityError::NotMember.code(),
        IdentityError::NoAuthority.code(),
        damaged.code(),
        IdentityError::DenyListFull.code(),
        IdentityError::OtherCluster.code(),
        IdentityError::Crypto("no random numbers".into()).code(),
        InviteError::TooMany.code(),
        PairingError::Refused.code(),
        PairingError::Version { theirs: 2 }.code(),
        PairingError::from(IdentityError::NotMember).code(),
        PeerProblem::Revoked.code(),
    ];
    for code in codes {
        assert!(pages.join(format!("{code}.md")).exists(), "{code}");
    }
}
