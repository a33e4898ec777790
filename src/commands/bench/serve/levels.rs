//! Several numbers of streams, one after another, over a real engine and over one that computes nothing.

use std::time::Duration;

use serde::Serialize;
use understudy_agents::Client;
use understudy_agents::load::{Load, Plan, Spread, measure, story_prompts};

use super::TIMEOUT;
use super::scripted::{MODEL, Scripted};
use crate::cli::BenchServe;
use crate::error::Error;
use crate::render::table;
use crate::source::Reached;

/// What a step of the scripted engine takes, and how many sequences it decodes: as much as a node does by default.
const STEP: Duration = Duration::from_millis(5);
const SEQUENCES: usize = 16;
const CONNECT: Duration = Duration::from_secs(5);

/// What was found.
#[derive(Debug, Serialize)]
pub struct Report {
    levels: Vec<Level>,
}

#[derive(Debug, Serialize)]
struct Level {
    model: String,
    streams: usize,
    /// Tokens of all streams per second.
    tok_s: f64,
    first_ms: Spread,
    itl_ms: Spread,
}

pub async fn run(args: &BenchServe) -> Result<Report, Error> {
    let mut levels = Vec::new();
    let reached = Reached::find(args.server.as_deref()).await?;
    for &streams in &args.streams {
        levels.push(level(&reached.client, &args.model, streams, args.gen_tokens).await?);
    }
    drop(reached);
    // Its queue is as long as its sequences are many, and the most streams are 64.
    let node = Scripted::start_with_queue(STEP, SEQUENCES, 64).await?;
    let client = Client::connect(&node.address, CONNECT).await?;
    for &streams in &args.streams {
        levels.push(level(&client, MODEL, streams, args.gen_tokens).await?);
    }
    node.stop().await;
    Ok(Report { levels })
}

async fn level(client: &Client, model: &str, streams: u32, gen_tokens: u32) -> Result<Level, Error> {
    let prompts = story_prompts(streams as usize);
    let model = model.to_owned();
    let plan = Plan { model, prompts, gen_tokens, long_words: 0, shared_words: 0, timeout: TIMEOUT };
    let Load { model, streams, tok_s, first_ms, itl_ms, .. } = measure(client, &plan).await?;
    Ok(Level { model, streams, tok_s, first_ms, itl_ms })
}

impl Report {
    /// As a table.
    pub fn lines(&self) -> Vec<String> {
        let row = |level: &Level| {
            let Level { model, streams, tok_s, first_ms, itl_ms } = level;
            let figures = [*tok_s, first_ms.p50, first_ms.p99, itl_ms.p50, itl_ms.p99];
            [vec![model.clone(), streams.to_string()], figures.map(|figure| format!("{figure:.1}")).to_vec()]
                .concat()
        };
        let head = ["MODEL", "STREAMS", "TOK/S", "FIRST MS P50", "P99", "BETWEEN MS P50", "P99"];
        vec![table(&head, self.levels.iter().map(row))]
    }
}
