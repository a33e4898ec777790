#![allow(missing_docs, clippy::all)]
use std::{sync::Arc, time::Instant};
use understudy_grammars::*;
fn main() {
    for path in ["/tmp/v49.bin", "/tmp/v151.bin"] {
        let data = std::fs::read(path).unwrap();
        let (mut at, mut tokens) = (0, Vec::new());
        while at < data.len() {
            let n = u32::from_le_bytes(data[at..at + 4].try_into().unwrap()) as usize;
            tokens.push(data[at + 4..at + 4 + n].to_vec());
            at += 4 + n;
        }
        let t = Instant::now();
        let vocabulary = Arc::new(Vocabulary::new(path, &tokens, vec![0]));
        println!("{path}: {} tokens, vocabulary {:?}", tokens.len(), t.elapsed());
        for re in ["[0-9]{4}-[0-9]{2}-[0-9]{2}", "(?s).{1,200}", "[a-z ]{1,500}", "\\w{1,40}", "\\w{1,100}", "\\p{L}+@\\p{L}+", "\\{\"a\": \"[^\"]*\", \"b\": [0-9]+\\}"] {
            let t = Instant::now();
            match Grammar::compile(&Pattern::Regex(re.into()), &vocabulary, &Budget::default()) {
                Err(e) => println!("  {re}: {e} after {:?}", t.elapsed()),
                Ok(g) => {
                    let compile = t.elapsed();
                    let mut m = g.matcher();
                    let mut words = vec![0; tokens.len().div_ceil(32)];
                    let (mut worst, mut sum, mut n) = (0u128, 0u128, 0);
                    for step in 0..40 {
                        let t = Instant::now();
                        m.mask(&mut words);
                        let us = t.elapsed().as_micros();
                        worst = worst.max(us); sum += us; n += 1;
                        let options: Vec<u32> = (0..tokens.len() as u32).filter(|i| words[*i as usize / 32] >> (i % 32) & 1 == 1 && *i != 0).collect();
                        if options.is_empty() { break; }
                        assert!(m.try_accept(options[(step * 7919 + 13) % options.len()]));
                    }
                    println!("  {re}: {} states, compile {compile:?}, first mask of a state mean {} us, worst {worst} us", g.states(), sum / n);
                }
            }
        }
        if std::env::args().len() > 1 {
            let mut v = outlines_core::vocabulary::Vocabulary::new(0);
            for (i, t) in tokens.iter().enumerate().skip(1) { if !t.is_empty() { v.try_insert(t.clone(), i as u32).unwrap(); } }
            for re in ["[0-9]{4}-[0-9]{2}-[0-9]{2}", "[a-z ]{1,100}", "(?s).{1,50}"] {
                let t = Instant::now();
                let i = outlines_core::index::Index::new(re, &v).unwrap();
                let rss = std::fs::read_to_string("/proc/self/status").unwrap().lines().find(|l| l.starts_with("VmHWM")).unwrap().to_string();
                println!("  outlines {re}: {:?}, {} states, {rss}", t.elapsed(), i.transitions().len());
            }
        }
    }
}
