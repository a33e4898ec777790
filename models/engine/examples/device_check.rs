//! A hand run on a real graphics processor.
//!
//! ```sh
//! device_check [--device cuda|cuda:N|metal|candle] [--matrices float|stored|both] [--quick] \
//!     MODEL.gguf[=VECTORS.json] ...
//! ```
//!
//! One JSON object a line: what was checked, whether it passed, and what was measured. The exit
//! code is 0 when every check passed, 1 when one failed, 2 when the arguments make no sense.
//! `--device candle` runs on candle's own processor backend, to try the program itself.

#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a program for a terminal")]
#![allow(clippy::unwrap_used, reason = "the shared checks are those of the tests")]

#[path = "../tests/support/mod.rs"]
mod support;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use serde_json::{Value, json};
use support::Rows;
use support::reference::Vectors;
use support::verbs::{CHECKS, CLOSE, CLOSE_INT8, Driver, options, same_tokens};
use understudy_engine::device::{Accelerator, DeviceChoice, DeviceDecoder, DeviceModel, Matrices};
use understudy_engine::kv::PAGE_LEN;
use understudy_engine::model::{Decoder, Model, Row, Want};
use understudy_engine::tick::Pulse;
use understudy_engine::verbs::StepResult;
use understudy_engine::{ComputePool, default_threads};

/// Quantized activations are judged by tasks, not by the reference's bound; but beyond so many
/// bounds a kernel is wrong.
const STORED_BOUNDS: f32 = 60.0;

const USAGE: &str = "usage: device_check [--device cuda|cuda:N|metal|candle] [--matrices float|stored|both] \
                     [--quick] MODEL.gguf[=VECTORS.json] ...";

struct Arguments {
    device: DeviceChoice,
    matrices: Vec<Matrices>,
    quick: bool,
    models: Vec<(PathBuf, Option<PathBuf>)>,
}

fn main() {
    let arguments = parse(std::env::args().skip(1)).unwrap_or_else(|why| {
        eprintln!("{why}\n{USAGE}");
        std::process::exit(2);
    });
    let mut run = Run { failed: 0, passed: 0 };
    run.all(&arguments);
    let ok = run.failed == 0;
    println!("{}", json!({"check": "all", "ok": ok, "passed": run.passed, "failed": run.failed}));
    std::process::exit(i32::from(!ok));
}

fn parse(mut words: impl Iterator<Item = String>) -> Result<Arguments, String> {
    let both = vec![Matrices::Float, Matrices::Stored];
    let mut found =
        Arguments { device: DeviceChoice::Cuda(0), matrices: both, quick: false, models: Vec::new() };
    while let Some(word) = words.next() {
        match word.as_str() {
            "--device" => {
                let word = words.next().ok_or("--device needs a word")?;
                found.device = word.parse().map_err(|error| format!("--device: {error}"))?;
            }
            "--matrices" => match words.next().as_deref() {
                Some("float") => found.matrices = vec![Matrices::Float],
                Some("stored") => found.matrices = vec![Matrices::Stored],
                Some("both") => {}
                other => return Err(format!("--matrices {other:?}")),
            },
            "--quick" => found.quick = true,
            option if option.starts_with("--") => return Err(format!("unknown option {option}")),
            path => found.models.push(match path.split_once('=') {
                Some((model, vectors)) => (model.into(), Some(vectors.into())),
                None => (path.into(), None),
            }),
        }
    }
    if found.models.is_empty() {
        return Err("name at least one model".into());
    }
    Ok(found)
}

struct Run {
    passed: usize,
    failed: usize,
}

impl Run {
    /// Prints a check and counts it.
    fn tell(&mut self, check: &str, model: &str, result: Result<Value, String>) {
        let mut line = json!({"check": check, "model": model, "ok": result.is_ok()});
        match result {
            Ok(found) => {
                self.passed += 1;
                line["found"] = found;
            }
            Err(error) => {
                self.failed += 1;
                line["error"] = error.into();
            }
        }
        println!("{line}");
    }

    fn all(&mut self, arguments: &Arguments) {
        let mut uploaded: Vec<Uploaded> = Vec::new();
        for (path, vectors) in &arguments.models {
            for &matrices in &arguments.matrices {
                let file = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
                let name = format!("{file} {matrices:?}");
                if let Some(model) = self.load(arguments.device, path, matrices, &name) {
                    self.one_model(&name, &model, matrices, vectors.as_deref(), arguments.quick);
                    uploaded.push(Uploaded { name, model, close: close(matrices) });
                }
            }
        }
        if let [one, .., two] = &uploaded[..] {
            let names = format!("{} and {}", one.name, two.name);
            self.tell("two_models_on_two_threads", &names, at_once([one, two]));
        }
    }

    fn load(
        &mut self,
        device: DeviceChoice,
        path: &Path,
        matrices: Matrices,
        name: &str,
    ) -> Option<Arc<DeviceModel>> {
        let started = Instant::now();
        let model = upload(device, path, matrices);
        let load_s = started.elapsed().as_secs_f64();
        let found = model.as_ref().map_err(Clone::clone).map(|model| {
            let (block, head) = model.pass_bytes();
            json!({"numerics": model.numerics(), "load_s": load_s, "weights_mb": (block + head) >> 20})
        });
        self.tell("load", name, found);
        model.ok()
    }

    fn one_model(
        &mut self,
        name: &str,
        model: &Arc<DeviceModel>,
        matrices: Matrices,
        vectors: Option<&Path>,
        quick: bool,
    ) {
        if let Some(vectors) = vectors {
            self.tell("vectors", name, against_vectors(model, vectors, matrices));
        }
        self.tell("rows", name, rows_by_other_ways(model, matrices));
        match decoder(model, options().kv_tokens) {
            Err(error) => self.tell("verbs", name, Err(error)),
            Ok(decoder) => {
                let mut driver = Driver::new(decoder, close(matrices));
                for (check, run) in CHECKS {
                    let found = run(&mut driver).map(Value::from);
                    self.tell(check, name, found);
                }
            }
        }
        let (prompt, tokens) = if quick { (64, 16) } else { (1024, 128) };
        self.tell("speed", name, speed(model, prompt, tokens));
    }
}

/// Each model opens the device for itself, as the engines of a node do.
fn upload(device: DeviceChoice, path: &Path, matrices: Matrices) -> Result<Arc<DeviceModel>, String> {
    let accelerator = Accelerator::open(device).map_err(|error| error.to_string())?;
    let host = Model::open(path).map_err(|error| error.to_string())?;
    let pool = ComputePool::new(default_threads());
    let model = DeviceModel::upload(Arc::new(host), &accelerator, matrices, &pool);
    model.map(Arc::new).map_err(|error| error.to_string())
}

fn decoder(model: &Arc<DeviceModel>, tokens: usize) -> Result<Box<dyn Decoder>, String> {
    let decoder = DeviceDecoder::new(model.clone(), tokens.div_ceil(PAGE_LEN));
    decoder.map(|decoder| Box::new(decoder) as Box<dyn Decoder>).map_err(|error| error.to_string())
}

fn against_vectors(model: &Arc<DeviceModel>, vectors: &Path, matrices: Matrices) -> Result<Value, String> {
    let vectors = Vectors::read(vectors);
    let mut rows = Rows::over(decoder(model, vectors.longest())?);
    let mut complaints = Vec::new();
    let found = vectors.compare(&mut rows, 512, |difference| complaints.push(difference));
    let most = if matrices == Matrices::Float { 1.0 } else { STORED_BOUNDS };
    let summary = json!({
        "worst_difference_in_bounds": found.worst, "allowed": most,
        "rows": found.rows, "other_tokens": found.other_tokens,
    });
    match found.worst <= most && (matrices == Matrices::Stored || found.other_tokens == 0) {
        true => Ok(summary),
        false => {
            complaints.truncate(5);
            Err(format!("{summary}: {}", complaints.join("; ")))
        }
    }
}

/// The same row computed at once, in chunks, and beside rows of another sequence: how far apart.
fn rows_by_other_ways(model: &Arc<DeviceModel>, matrices: Matrices) -> Result<Value, String> {
    let vocab = model.config().vocab;
    let ids: Vec<u32> = (0..70u32).map(|index| (index * 37 + 11) % 300).collect();
    let want = |pos: usize| if pos >= 60 { Want::Logits } else { Want::Nothing };
    let mut rows = Rows::over(decoder(model, 128)?);
    let mut logits = |chunk: usize| {
        rows.restart();
        rows.prefill(&ids, chunk, want)
    };
    let at_once = logits(ids.len());
    let largest = at_once.iter().flatten().fold(0f32, |most, value| most.max(value.abs()));
    let apart = |other: &[Vec<f32>]| {
        let pairs = at_once.iter().flatten().zip(other.iter().flatten());
        let shares = pairs.map(|(a, b)| (a - b).abs() / largest);
        shares.fold(0f32, |most, share| if share.is_nan() { f32::INFINITY } else { most.max(share) })
    };
    // The pages change their order at each restart, so the same once more is the second after.
    let other_pages = apart(&logits(ids.len()));
    let again = apart(&logits(ids.len()));
    let chunks = [1, 3, 17, 64].map(|chunk| apart(&logits(chunk)));
    let mut two = decoder(model, 256)?;
    let tables: [Vec<u32>; 2] = [vec![5, 1, 3], vec![0, 2, 4]];
    let row_of = |pages, pos: usize| Row { token: ids[pos], pos, pages, want: want(pos) };
    let pass: Vec<Row<'_>> =
        tables.iter().flat_map(|pages| (0..ids.len()).map(move |pos| row_of(&pages[..], pos))).collect();
    two.forward(&pass, &Pulse::default()).map_err(|error| error.to_string())?;
    let both: Vec<Vec<f32>> = two.logits().chunks_exact(vocab).map(<[f32]>::to_vec).collect();
    let beside = apart(&both[..10]).max(apart(&both[10..]));
    let worst = chunks.iter().fold(beside.max(again).max(other_pages), |most, share| most.max(*share));
    let most = if matrices == Matrices::Float { 1e-3 } else { 0.1 };
    let found = json!({
        "same_pass_again": again, "on_other_pages": other_pages, "chunks_of_1_3_17_64": chunks,
        "beside_another": beside, "allowed": most, "unit": "the largest logit",
    });
    if worst <= most { Ok(found) } else { Err(found.to_string()) }
}

/// A model that passed through the checks.
struct Uploaded {
    name: String,
    model: Arc<DeviceModel>,
    close: f32,
}

fn close(matrices: Matrices) -> f32 {
    match matrices {
        Matrices::Float => CLOSE,
        Matrices::Stored => CLOSE_INT8,
    }
}

/// Two engines on two threads say what each says alone.
fn at_once(models: [&Uploaded; 2]) -> Result<Value, String> {
    fn decode(one: &Uploaded) -> Result<Vec<StepResult>, String> {
        let mut driver = Driver::new(decoder(&one.model, options().kv_tokens)?, one.close);
        let mut steps = Vec::new();
        for salt in 0..3 {
            let prompt = driver.prompt(200, 40 + salt);
            let seq = driver.open(prompt)?;
            steps.extend(driver.run_all(&[(seq, 200)], 32)?.remove(0));
        }
        Ok(steps)
    }
    let alone = [decode(models[0])?, decode(models[1])?];
    let started = Instant::now();
    let together = std::thread::scope(|scope| {
        let threads = models.map(|model| scope.spawn(move || decode(model)));
        threads.map(|thread| thread.join().unwrap_or_else(|_| Err("a thread panicked".into())))
    });
    let seconds = started.elapsed().as_secs_f64();
    let mut compared = 0;
    for ((alone, together), model) in alone.iter().zip(together).zip(models) {
        for (alone, together) in alone.chunks(32).zip(together?.chunks(32)) {
            compared += same_tokens(alone, together, model.close)?;
        }
    }
    match compared {
        0 => Err("no token compared: the first are all close calls".into()),
        _ => Ok(json!({"tokens_compared": compared, "of": 192, "seconds": seconds})),
    }
}

/// Tokens per second of a prompt, and of decoding behind it, for 1 and 8 streams.
fn speed(model: &Arc<DeviceModel>, prompt: usize, tokens: u32) -> Result<Value, String> {
    let mut driver = Driver::with(decoder(model, 9 * (prompt + 256))?, CLOSE, prompt + 256);
    let mut salt = 100;
    let mut time = |streams: usize, prompt: usize, tokens: u32| -> Result<f64, String> {
        let mut sequences = Vec::new();
        for _ in 0..streams {
            salt += 1;
            let ids = driver.prompt(prompt, salt);
            sequences.push((driver.open(ids)?, prompt));
        }
        let started = Instant::now();
        driver.run_all(&sequences, tokens)?;
        let seconds = started.elapsed().as_secs_f64();
        sequences.into_iter().for_each(|(seq, _)| driver.close(seq));
        Ok(seconds)
    };
    time(1, prompt, 2)?; // what is compiled and allocated on first use
    time(8, 32, 4)?;
    let prefill = time(1, prompt, 1)?;
    let decode = time(1, prompt, tokens + 1)? - prefill;
    let prefill_8 = time(8, prompt, 1)?;
    let decode_8 = time(8, prompt, tokens + 1)? - prefill_8;
    let short = time(1, 16, tokens + 1)?;
    Ok(json!({
        "prompt_tokens": prompt, "gen_tokens": tokens,
        "prefill_tok_s": prompt as f64 / prefill,
        "decode_tok_s": f64::from(tokens) / decode,
        "decode_tok_s_at_16": f64::from(tokens) / short,
        "decode_tok_s_of_8_streams": 8.0 * f64::from(tokens) / decode_8,
    }))
}
