//! The model hub over HTTP.
//!
//! Addresses come from the `hf-hub` crate. Its download keeps files in a cache of its own, follows no
//! cancel flag and has no connect timeout, so the two requests needed here are made with `ureq`, the
//! client that `hf-hub` itself uses: a HEAD whose headers name the file's digest, and a ranged GET.

use std::io::Read;
use std::path::PathBuf;
use std::thread;
use std::time::Duration;

use hf_hub::api::sync::ApiBuilder;
use hf_hub::{Cache, Repo, RepoType};
use ureq::Agent;
use ureq::config::Config;
use ureq::http::{Response, StatusCode, Uri, header};

use crate::catalogue::{HubFile, ModelFile};
use crate::digest::{CHUNK, go_on};
use crate::error::PullError;
use crate::events::Source;
use crate::job::{Job, NotDelivered};
use crate::settings::Settings;

/// A dead network costs at most these two together.
const RESOLVE: Duration = Duration::from_secs(3);
const CONNECT: Duration = Duration::from_secs(4);
const FIRST_ANSWER: Duration = Duration::from_secs(15);
/// A body that stands still this long is asked for again; a cancel is seen no later.
const SILENCE: Duration = Duration::from_secs(10);
/// Retries in a row that bring no byte.
const RETRIES: u32 = 5;
const HOPS: usize = 5;

/// The hub, for the length of one pull.
pub(crate) struct Hub<'a> {
    settings: &'a Settings,
    lookups: Agent,
    downloads: Agent,
    /// Set once the hub did not answer: the model's other files do not wait for it again.
    out_of_reach: Option<String>,
}

/// How one GET ended.
enum Stopped {
    /// All bytes are in.
    Whole,
    /// Worth asking again from where it stopped.
    Cut(String),
    /// Asking again would not help.
    Refused(String),
}

impl<'a> Hub<'a> {
    pub(crate) fn new(settings: &'a Settings) -> Self {
        let agent = |redirects| -> Agent {
            let config: Config = Agent::config_builder()
                .http_status_as_error(false)
                .max_redirects(redirects)
                .timeout_resolve(Some(RESOLVE))
                .timeout_connect(Some(CONNECT))
                .timeout_recv_response(Some(FIRST_ANSWER))
                .timeout_per_read(Some(SILENCE))
                .user_agent(concat!("understudy/", env!("CARGO_PKG_VERSION")))
                .build();
            config.into()
        };
        Self { settings, lookups: agent(0), downloads: agent(10), out_of_reach: None }
    }

    /// Fetches what is missing of the file, once the hub's digest of it is the catalogue's.
    pub(crate) fn deliver(&mut self, job: &mut Job<'_, '_>) -> Result<(), NotDelivered> {
        let hub_file = match &job.file.hub {
            _ if self.settings.offline || self.settings.hub_offline => Err("offline by choice".to_owned()),
            None => Err("the catalogue names no hub file".to_owned()),
            Some(_) if self.out_of_reach.is_some() => Err(self.out_of_reach.clone().unwrap_or_default()),
            Some(hub_file) => Ok(hub_file),
        }
        .map_err(NotDelivered::Skipped)?;
        let url = self.url(hub_file).map_err(NotDelivered::Skipped)?;
        let advertised = self.advertised_digest(&url).map_err(NotDelivered::Skipped)?;
        if !is_digest_of(&advertised, job.file) {
            let why = format!("it advertises {advertised}, the catalogue says {}", job.file.sha256);
            return Err(NotDelivered::Skipped(why));
        }
        job.ensure_space(job.missing())?;
        let source = Source::Hub { repo: hub_file.repo.clone() };
        job.partial.note(&source)?;
        job.reporter.started(&source);
        self.download(&url, job)
    }

    fn url(&self, hub_file: &HubFile) -> Result<String, String> {
        // No cache folder is used: files are written in place.
        let mut builder = ApiBuilder::from_cache(Cache::new(PathBuf::new())).with_token(None);
        if let Some(endpoint) = &self.settings.endpoint {
            builder = builder.with_endpoint(endpoint.trim_end_matches('/').to_owned());
        }
        let api = builder.build().map_err(|e| e.to_string())?;
        let repo = api.repo(Repo::new(hub_file.repo.clone(), RepoType::Model));
        Ok(repo.url(&hub_file.file))
    }

    /// Asks for the file's digest without its bytes. A large file's answer redirects to a store; the
    /// digest is in the redirect itself, so only redirects within the hub are followed.
    fn advertised_digest(&mut self, url: &str) -> Result<String, String> {
        let mut url: Uri = url.parse().map_err(|e| format!("bad address: {e}"))?;
        for _ in 0..HOPS {
            let mut request = self.lookups.head(url.clone()).header(header::ACCEPT_ENCODING, "identity");
            if let Some(token) = &self.settings.token {
                request = request.header(header::AUTHORIZATION, format!("Bearer {token}"));
            }
            let response = request.call().map_err(|e| {
                let why = format!("out of reach: {e}");
                self.out_of_reach = Some(why.clone());
                why
            })?;
            if let Some(digest) = text(&response, "x-linked-etag") {
                return Ok(unquoted(digest));
            }
            match text(&response, header::LOCATION.as_str()).and_then(|to| same_host(&url, to)) {
                Some(next) if response.status().is_redirection() => url = next,
                _ if !response.status().is_success() => {
                    return Err(format!("it answers {}", response.status()));
                }
                _ => {
                    let etag = text(&response, header::ETAG.as_str());
                    return etag.map(unquoted).ok_or_else(|| "it advertises no digest".to_owned());
                }
            }
        }
        Err("it redirects in circles".to_owned())
    }

    fn download(&self, url: &str, job: &mut Job<'_, '_>) -> Result<(), NotDelivered> {
        let mut fruitless = 0;
        while job.missing() > 0 {
            let had = job.partial.len();
            let reason = match self.get_rest(url, job)? {
                Stopped::Whole => break,
                Stopped::Refused(reason) => return Err(stopped(job, reason)),
                Stopped::Cut(reason) => reason,
            };
            fruitless = if job.partial.len() > had { 0 } else { fruitless + 1 };
            if fruitless > RETRIES {
                return Err(stopped(job, reason));
            }
            tracing::info!(file = job.file.name, at = job.partial.len(), reason, "hub download is continued");
            pause(self.settings.retry_pause * 2_u32.pow(fruitless), job)?;
        }
        Ok(())
    }

    fn get_rest(&self, url: &str, job: &mut Job<'_, '_>) -> Result<Stopped, PullError> {
        let from = job.partial.len();
        let mut request = self.downloads.get(url).header(header::ACCEPT_ENCODING, "identity");
        if from > 0 {
            request = request.header(header::RANGE, format!("bytes={from}-"));
        }
        if let Some(token) = &self.settings.token {
            request = request.header(header::AUTHORIZATION, format!("Bearer {token}"));
        }
        let response = match request.call() {
            Ok(response) => response,
            Err(e) => return Ok(Stopped::Cut(e.to_string())),
        };
        match response.status() {
            StatusCode::PARTIAL_CONTENT if starts_at(&response, from) => {}
            // The whole file in place of its rest.
            StatusCode::OK => job.start_over()?,
            StatusCode::PARTIAL_CONTENT | StatusCode::RANGE_NOT_SATISFIABLE => {
                job.start_over()?;
                return Ok(Stopped::Cut("it answered with another range".to_owned()));
            }
            status if status.is_server_error() || status == StatusCode::TOO_MANY_REQUESTS => {
                return Ok(Stopped::Cut(format!("it answers {status}")));
            }
            status => return Ok(Stopped::Refused(format!("it answers {status}"))),
        }
        copy_rest(response.into_body().into_reader(), job)
    }
}

fn copy_rest(mut body: impl Read, job: &mut Job<'_, '_>) -> Result<Stopped, PullError> {
    let mut chunk = vec![0; CHUNK / 4];
    loop {
        let count = match body.read(&mut chunk) {
            Ok(count) => count,
            Err(e) => return Ok(Stopped::Cut(e.to_string())),
        };
        let bytes = chunk.get(..count).unwrap_or_default();
        if bytes.is_empty() {
            return Ok(match job.missing() {
                0 => Stopped::Whole,
                missing => Stopped::Cut(format!("{missing} bytes were not sent")),
            });
        }
        if bytes.len() as u64 > job.missing() {
            job.start_over()?;
            return Ok(Stopped::Refused("it sends more bytes than the file has".to_owned()));
        }
        job.append(bytes)?;
    }
}

fn stopped(job: &Job<'_, '_>, reason: String) -> NotDelivered {
    NotDelivered::Failed(PullError::HubStopped { file: job.file.name.clone(), reason })
}

/// Sleeps in slices, so that a cancel is seen at once.
fn pause(length: Duration, job: &Job<'_, '_>) -> Result<(), PullError> {
    const SLICE: Duration = Duration::from_millis(50);
    let mut left = length;
    while !left.is_zero() {
        go_on(job.cancel)?;
        thread::sleep(left.min(SLICE));
        left = left.saturating_sub(SLICE);
    }
    go_on(job.cancel)
}

fn is_digest_of(advertised: &str, file: &ModelFile) -> bool {
    advertised.eq_ignore_ascii_case(&file.sha256)
        || file.git_blob.as_ref().is_some_and(|sha1| advertised.eq_ignore_ascii_case(sha1))
}

fn text<'r, B>(response: &'r Response<B>, name: &str) -> Option<&'r str> {
    response.headers().get(name)?.to_str().ok()
}

fn unquoted(etag: &str) -> String {
    etag.trim_start_matches("W/").replace('"', "")
}

fn same_host(url: &Uri, location: &str) -> Option<Uri> {
    let inside = location.starts_with('/') && !location.starts_with("//");
    let mut parts = url.clone().into_parts();
    parts.path_and_query = Some(location.parse().ok()?);
    Uri::from_parts(parts).ok().filter(|_| inside)
}

fn starts_at<B>(response: &Response<B>, from: u64) -> bool {
    text(response, header::CONTENT_RANGE.as_str())
        .and_then(|range| range.strip_prefix("bytes "))
        .and_then(|range| range.split('-').next())
        .is_some_and(|start| start.parse() == Ok(from))
}
