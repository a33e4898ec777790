use std::sync::Arc;
use std::time::Instant;
use understudy_grammars::*;
fn vocab(path: &str) -> Arc<Vocabulary> {
    let data = std::fs::read(path).unwrap();
    let u = |at: usize| u32::from_le_bytes(data[at..at + 4].try_into().unwrap());
    let (n, eos) = (u(0), u(4));
    let mut at = 8;
    let mut toks = Vec::new();
    for _ in 0..n { let l = u(at) as usize; toks.push(data[at + 4..at + 4 + l].to_vec()); at += 4 + l; }
    Arc::new(Vocabulary::new("v", toks, vec![eos]))
}
/// greedy longest match tokenization
fn tokens(v: &Vocabulary, byte: &std::collections::HashMap<Vec<u8>, u32>, text: &[u8]) -> Vec<u32> {
    let mut out = vec![]; let mut at = 0;
    while at < text.len() { let mut l = (text.len() - at).min(16); while !byte.contains_key(&text[at..at + l]) { l -= 1; } out.push(byte[&text[at..at + l]]); at += l; }
    let _ = v; out
}
fn q(v: &mut Vec<u64>, p: f64) -> f64 { if v.is_empty() { return 0.0 } v.sort(); v[((v.len() - 1) as f64 * p) as usize] as f64 / 1000.0 }
fn main() {
    let args: Vec<String> = std::env::args().collect();
    let t = Instant::now();
    let v = vocab("/tmp/qwen.tok");
    eprintln!("vocab {:?}", t.elapsed());
    let byte: std::collections::HashMap<Vec<u8>, u32> = (0..v.len() as u32).filter(|i| !v.token(*i).is_empty()).map(|i| (v.token(i).to_vec(), i)).collect();
    let (mut n, mut compiled, mut right, mut fa, mut fr) = (0, 0, 0, 0, 0);
    let (mut ct, mut mt): (Vec<u64>, Vec<u64>) = Default::default();
    let mut slow: Vec<(u64, String)> = vec![];
    let mut files: Vec<_> = std::fs::read_dir(&args[1]).unwrap().map(|e| e.unwrap().path()).collect(); files.sort();
    for f in files {
        if args.len() > 2 && !f.to_str().unwrap().contains(&args[2]) { continue }
        let d: serde_json::Value = serde_json::from_str(&std::fs::read_to_string(&f).unwrap()).unwrap();
        n += 1; if std::env::var("V").is_ok() { eprintln!("{f:?}"); }
        let name = d["name"].as_str().unwrap_or("").to_string();
        let t = Instant::now();
        let g = Grammar::compile(&Pattern::Json(JsonSpec::new(d["schema"].to_string())), &v, &Budget::default());
        ct.push(t.elapsed().as_nanos() as u64);
        if t.elapsed().as_millis() > 50 { println!("SLOW COMPILE {name} {:?}", t.elapsed()); }
        let g = match g { Ok(g) => g, Err(e) => { println!("REFUSED {name}: {e}"); continue } };
        compiled += 1;
        let mut ok = true;
        for (i, t) in d["tests"].as_array().unwrap().iter().enumerate() {
            let text = t["data"].to_string();
            let valid = t["valid"].as_bool().unwrap();
            let mut m = g.matcher();
            let mut words = vec![0u32; v.len().div_ceil(32)];
            let mut good = true; let mut done = 0;
            for tok in tokens(&v, &byte, text.as_bytes()) {
                let t0 = Instant::now();
                if std::env::var("W").is_ok() { m.mask_within(&mut words, 100000) } else { m.mask(&mut words) };
                let ns = t0.elapsed().as_nanos() as u64;
                mt.push(ns);
                if ns > 300_000 { slow.push((ns, format!("{name} {i} at {done}"))); }
                let inmask = words[tok as usize / 32] >> (tok % 32) & 1 == 1;
                let acc = m.try_accept(tok);
                if inmask != acc { println!("MASK MISMATCH {name} {i}: mask {inmask} accept {acc} at {:?}", String::from_utf8_lossy(&text.as_bytes()[..done])); }
                if !acc { good = false; break }
                done += v.token(tok).len();
            }
            let good = good && m.is_accepting();
            if good != valid {
                ok = false;
                if good { fa += 1; println!("FALSE ACCEPT {name} {i}"); } else { fr += 1; println!("FALSE REJECT {name} {i} after {:?}", String::from_utf8_lossy(&text.as_bytes()[done.saturating_sub(60)..done.min(text.len())])); }
            }
        }
        if ok { right += 1 }
    }
    println!("schemas {n} compiled {compiled} all right {right} ({:.1} %) false accepts {fa} rejects {fr}", 100.0 * right as f64 / n as f64);
    println!("compile us p50 {} p99 {}; masks {} p50 {} p99 {} p999 {} max {}", q(&mut ct, 0.5), q(&mut ct, 0.99), mt.len(), q(&mut mt, 0.5), q(&mut mt, 0.99), q(&mut mt, 0.999), q(&mut mt, 1.0));
    slow.sort(); slow.reverse(); for s in slow.iter().take(12) { println!("{s:?}"); }
}
