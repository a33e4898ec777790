//! What a node keeps on disk: `$UNDERSTUDY_HOME/cluster/`.
//!
//! | file | what it holds | secret |
//! |---|---|---|
//! | `node.key` | the node's key (PKCS #8, DER) | yes |
//! | `node.crt` | its certificate (DER) | |
//! | `authority.crt` | whom it trusts (DER) | |
//! | `authority.key` | the authority's key, where it is here (PKCS #8, DER) | yes |
//! | `cluster.json` | the cluster's name; **written last, removed first**: a node is a member where it is | |
//! | `denied.json` | the deny list | |
//! | `peers.json` | addresses where peers were met | |
//! | `generation` | the last boot generation | |
//!
//! All are for this user alone (0600 in a folder of 0700) and are written whole: beside, flushed, renamed. What
//! is readable for others is mended and told ([`Member::mended`]); what makes no sense is an error that names
//! the file. Changes by several processes come one after the other (`lock`).

mod folder;

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use serde::{Deserialize, Serialize, de::DeserializeOwned};
use zeroize::Zeroizing;

use crate::{
    authority::Authority,
    certificate::{AuthorityCertificate, NodeCertificate},
    clock::Clock,
    deny::{Denial, DenyList},
    error::IdentityError,
    key::NodeKey,
    node::Fingerprint,
    pairing::{Welcome, is_name},
};
use folder::Folder;

const NODE_KEY: &str = "node.key";
const NODE_CERTIFICATE: &str = "node.crt";
const AUTHORITY_CERTIFICATE: &str = "authority.crt";
const AUTHORITY_KEY: &str = "authority.key";
const CLUSTER: &str = "cluster.json";
const DENIED: &str = "denied.json";
const PEERS: &str = "peers.json";
const GENERATION: &str = "generation";

/// In the order in which they are removed: what makes a member first, then keys.
const ALL: [&str; 8] =
    [CLUSTER, AUTHORITY_KEY, NODE_KEY, NODE_CERTIFICATE, AUTHORITY_CERTIFICATE, DENIED, PEERS, GENERATION];

/// Addresses of peers that are kept; the caller gives the best first, the rest is dropped.
pub const MOST_PEERS: usize = 256;

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct ClusterFile {
    name: String,
}

/// This node as a member of its cluster, as the files have it.
#[derive(Debug)]
pub struct Member {
    /// The node's key.
    pub key: NodeKey,
    /// Its certificate, which may have ended.
    pub certificate: NodeCertificate,
    /// Whom it trusts.
    pub authority_certificate: AuthorityCertificate,
    /// Where the key is here: the authority.
    pub authority: Option<Arc<Authority>>,
    /// The cluster's name, for people.
    pub cluster_name: String,
    /// Keys that were turned out; each entry was verified.
    pub denied: DenyList,
    /// Where peers were met, `HOST:PORT`, best first.
    pub peers: Vec<String>,
    /// Files with secrets that others could read until now. Their secrets may be known: worth a warning.
    pub mended: Vec<PathBuf>,
}

/// What leaving meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Left {
    /// The authority's key was here. If no other node has it, nobody can invite, renew or revoke any more.
    pub had_authority: bool,
}

/// The folder.
#[derive(Debug, Clone)]
pub struct ClusterFiles {
    folder: Folder,
}

impl ClusterFiles {
    /// In this folder, which need not exist.
    pub fn at(folder: impl Into<PathBuf>) -> Self {
        Self { folder: Folder::at(folder.into()) }
    }

    /// Where.
    pub fn path(&self) -> &Path {
        self.folder.path()
    }

    /// Whether this node is in a cluster. That its files are whole is not said.
    pub fn is_member(&self) -> bool {
        self.folder.has(CLUSTER)
    }

    /// The key with which this node is a member now; `None` where it is none, or its certificate cannot be read, which
    /// [`open`](Self::open) tells.
    pub fn key(&self) -> Option<Fingerprint> {
        if !self.is_member() {
            return None;
        }
        Some(self.read_with(NODE_CERTIFICATE, NodeCertificate::parse).ok()?.fingerprint())
    }

    /// Makes a cluster with this node as its first member, and the authority here.
    ///
    /// # Errors
    /// [`IdentityError::AlreadyMember`], [`IdentityError::BadName`], or the files cannot be written.
    pub fn init(&self, name: &str, clock: &dyn Clock) -> Result<Member, IdentityError> {
        if !is_name(name) {
            return Err(IdentityError::BadName(name.into()));
        }
        let _lock = self.locked_outside()?;
        let key = NodeKey::generate()?;
        let authority = Authority::create(clock.now_s())?;
        let certificate = authority.issue(&key.request()?, clock.now_s())?;
        self.write_member(&Member {
            key,
            certificate,
            authority_certificate: authority.certificate().clone(),
            authority: Some(Arc::new(authority)),
            cluster_name: name.into(),
            denied: DenyList::default(),
            peers: vec![],
            mended: vec![],
        })?;
        self.open()
    }

    /// Keeps what a pairing gave. `key` is the one that it was made with.
    ///
    /// # Errors
    /// [`IdentityError::AlreadyMember`], the welcome is for another key, a clock is weeks off, or the files
    /// cannot be written.
    pub fn join(&self, key: NodeKey, welcome: Welcome, clock: &dyn Clock) -> Result<Member, IdentityError> {
        if welcome.certificate.fingerprint() != key.fingerprint() {
            return Err(IdentityError::BadCertificate("it is for another node"));
        }
        // It was made a moment ago: if it is not good here, a clock is wrong, and nobody would let this node in.
        welcome.certificate.check_days(clock.now_s())?;
        let _lock = self.locked_outside()?;
        let mut denied = DenyList::default();
        denied.merge(&welcome.authority_certificate, welcome.denied, clock.now_ms());
        self.write_member(&Member {
            key,
            certificate: welcome.certificate,
            authority_certificate: welcome.authority_certificate,
            authority: welcome.authority,
            cluster_name: welcome.cluster_name,
            denied,
            peers: welcome.addresses,
            mended: vec![],
        })?;
        self.open()
    }

    /// Reads all, and mends who may read it.
    ///
    /// # Errors
    /// [`IdentityError::NotMember`], [`IdentityError::Damaged`], or a file cannot be read or mended.
    pub fn open(&self) -> Result<Member, IdentityError> {
        let Some(cluster) = self.read_json::<ClusterFile>(CLUSTER)? else {
            return Err(IdentityError::NotMember);
        };
        let mut mended = self.folder.mend_itself()?;
        for name in [CLUSTER, NODE_KEY, AUTHORITY_KEY] {
            mended.extend(self.folder.mend(name)?);
        }
        let key = self.read_with(NODE_KEY, NodeKey::from_der)?;
        let certificate = self.read_with(NODE_CERTIFICATE, NodeCertificate::parse)?;
        let authority_certificate = self.read_with(AUTHORITY_CERTIFICATE, AuthorityCertificate::parse)?;
        if certificate.fingerprint() != key.fingerprint() {
            return Err(self.damaged(NODE_CERTIFICATE, "it is for another key than node.key"));
        }
        if !authority_certificate.has_signed(&certificate) {
            return Err(self.damaged(NODE_CERTIFICATE, "the authority of authority.crt did not sign it"));
        }
        let authority = match self.folder.has(AUTHORITY_KEY) {
            true => Some(Arc::new(
                self.read_with(AUTHORITY_KEY, |der| Authority::load(der, authority_certificate.clone()))?,
            )),
            false => None,
        };
        let denials = self.read_json::<Vec<Denial>>(DENIED)?.unwrap_or_default();
        let mut denied = DenyList::default();
        // At time 0 no entry counts as out of use, so none makes room for another.
        let merged = denied.merge(&authority_certificate, denials, 0);
        if merged.is_forged {
            return Err(self.damaged(DENIED, "the authority did not sign all of its entries"));
        }
        Ok(Member {
            key,
            certificate,
            authority_certificate,
            authority,
            cluster_name: cluster.name,
            denied,
            peers: self.read_json(PEERS)?.unwrap_or_default(),
            mended,
        })
    }

    /// Leaves: removes every secret, and all that would let this node in again. What is left over from a departure
    /// that was cut short is removed too.
    ///
    /// # Errors
    /// [`IdentityError::NotMember`] where there was nothing, or a file cannot be removed.
    pub fn leave(&self) -> Result<Left, IdentityError> {
        if !ALL.iter().any(|name| self.folder.has(name)) {
            return Err(IdentityError::NotMember);
        }
        let _lock = self.folder.lock()?;
        let had_authority = self.folder.has(AUTHORITY_KEY);
        for name in ALL {
            self.folder.remove(name)?;
        }
        Ok(Left { had_authority })
    }

    /// The number of this start of the node: milliseconds since 1970, or one more than the last one if the clock
    /// went back. It is on disk before it is given out, so no two starts have the same.
    ///
    /// # Errors
    /// No member, or the file cannot be read, makes no sense, or cannot be written.
    pub fn next_generation(&self, clock: &dyn Clock) -> Result<u64, IdentityError> {
        let _lock = self.locked_inside()?;
        let last = match self.folder.read(GENERATION)? {
            None => 0,
            Some(text) => str::from_utf8(&text)
                .ok()
                .and_then(|text| text.trim_ascii().parse::<u64>().ok())
                .ok_or_else(|| self.damaged(GENERATION, "it is not a number"))?,
        };
        let after =
            last.checked_add(1).ok_or_else(|| self.damaged(GENERATION, "there is no larger number"))?;
        let next = clock.now_ms().max(after);
        self.folder.write(GENERATION, format!("{next}\n").as_bytes())?;
        Ok(next)
    }

    /// Keeps a renewed certificate.
    ///
    /// # Errors
    /// It is not for this node or not of its authority, or the file cannot be written.
    pub fn keep_certificate(&self, renewed: &NodeCertificate) -> Result<(), IdentityError> {
        let _lock = self.locked_inside()?;
        let member = self.open()?;
        if renewed.fingerprint() != member.key.fingerprint() {
            return Err(IdentityError::BadCertificate("it is for another node"));
        }
        if !member.authority_certificate.has_signed(renewed) {
            return Err(IdentityError::OtherCluster);
        }
        self.folder.write(NODE_CERTIFICATE, renewed.der())
    }

    /// Adds entries to the deny list, and gives the list as it is now.
    ///
    /// # Errors
    /// No member, or the file cannot be written.
    pub fn keep_denials(
        &self,
        entries: impl IntoIterator<Item = Denial>,
        clock: &dyn Clock,
    ) -> Result<DenyList, IdentityError> {
        let _lock = self.locked_inside()?;
        let member = self.open()?;
        let mut denied = member.denied;
        denied.merge(&member.authority_certificate, entries, clock.now_ms());
        self.write_json(DENIED, &denied.iter().collect::<Vec<_>>())?;
        Ok(denied)
    }

    /// Turns a key out of the cluster. The entry is kept here; give it to the other members.
    ///
    /// # Errors
    /// [`IdentityError::NoAuthority`], [`IdentityError::DenyListFull`], or the file cannot be written.
    pub fn revoke(&self, key: Fingerprint, reason: &str, clock: &dyn Clock) -> Result<Denial, IdentityError> {
        let authority = self.open()?.authority.ok_or(IdentityError::NoAuthority)?;
        let denial = authority.deny(key, reason, clock.now_ms())?;
        let kept = self.keep_denials([denial], clock)?;
        // Where the key was denied before, that entry stays.
        kept.get(&key).cloned().ok_or(IdentityError::DenyListFull)
    }

    /// Keeps where peers were met, best first: [`MOST_PEERS`] of them.
    ///
    /// # Errors
    /// No member, or the file cannot be written.
    pub fn keep_peers(&self, addresses: &[String]) -> Result<(), IdentityError> {
        let _lock = self.locked_inside()?;
        self.write_json(PEERS, &addresses[..addresses.len().min(MOST_PEERS)])
    }

    /// The lock, where this node is in no cluster.
    fn locked_outside(&self) -> Result<std::fs::File, IdentityError> {
        let lock = self.folder.lock()?;
        match self.read_json::<ClusterFile>(CLUSTER)? {
            None => Ok(lock),
            Some(cluster) => Err(IdentityError::AlreadyMember { name: cluster.name }),
        }
    }

    /// The lock, where this node is in a cluster.
    fn locked_inside(&self) -> Result<std::fs::File, IdentityError> {
        let lock = self.folder.lock()?;
        if self.is_member() { Ok(lock) } else { Err(IdentityError::NotMember) }
    }

    fn write_member(&self, member: &Member) -> Result<(), IdentityError> {
        // What a departure or an attempt that was cut short left behind is not of this cluster.
        ALL.iter().try_for_each(|name| self.folder.remove(name))?;
        self.folder.write(NODE_KEY, &member.key.to_der())?;
        self.folder.write(NODE_CERTIFICATE, member.certificate.der())?;
        self.folder.write(AUTHORITY_CERTIFICATE, member.authority_certificate.der())?;
        if let Some(authority) = &member.authority {
            self.folder.write(AUTHORITY_KEY, &authority.key_der())?;
        }
        self.write_json(DENIED, &member.denied.iter().collect::<Vec<_>>())?;
        self.write_json(PEERS, &member.peers)?;
        let cluster = ClusterFile { name: member.cluster_name.clone() };
        self.write_json(CLUSTER, &cluster)
    }

    fn read_with<T>(
        &self,
        name: &str,
        read: impl FnOnce(&[u8]) -> Result<T, IdentityError>,
    ) -> Result<T, IdentityError> {
        let bytes = self.folder.read(name)?.ok_or_else(|| self.damaged(name, "it is not there"))?;
        read(&bytes).map_err(|error| self.damaged(name, &error.to_string()))
    }

    fn read_json<T: DeserializeOwned>(&self, name: &str) -> Result<Option<T>, IdentityError> {
        let Some(bytes) = self.folder.read(name)? else { return Ok(None) };
        serde_json::from_slice(&bytes).map(Some).map_err(|error| self.damaged(name, &error.to_string()))
    }

    fn write_json<T: Serialize + ?Sized>(&self, name: &str, what: &T) -> Result<(), IdentityError> {
        let mut text = Zeroizing::new(serde_json::to_vec_pretty(what).map_err(IdentityError::crypto)?);
        text.push(b'\n');
        self.folder.write(name, &text)
    }

    fn damaged(&self, name: &str, what: &str) -> IdentityError {
        IdentityError::Damaged { path: self.folder.path().join(name), what: what.into() }
    }
}
