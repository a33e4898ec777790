//! Speed of the matrix products beside what this machine can do at most.
//!
//! `cargo run --release -p understudy-kernels --example roofline [threads] [type]`, about a minute.
//! `UNDERSTUDY_SIMD=avx2` shows another processor's path.
#![allow(clippy::print_stdout)] // a report for a terminal

use std::hint::black_box;

use understudy_kernels::{
    AttentionRow, Ceiling, Codes, ComputePool, Matrix, PackedMatrix, PagedKv, Precision, Product, QuantType,
    attention, default_threads, is_packable, matmul, matmul_packed, processor, shortest_run,
};

const SHAPES: [(&str, QuantType, usize, usize); 9] = [
    ("SmolLM2 attention", QuantType::Q4_1, 576, 576),
    ("SmolLM2 feed-forward", QuantType::Q4_1, 1536, 576),
    ("Qwen 0.5B feed-forward", QuantType::Q5_0, 4864, 896),
    ("Qwen 0.5B head", QuantType::Q8_0, 32768, 896),
    ("Qwen 1.5B gate", QuantType::Q4K, 8960, 1536),
    ("Qwen 1.5B down", QuantType::Q4K, 1536, 8960),
    ("Qwen 1.5B down", QuantType::Q6K, 1536, 8960),
    ("Qwen 1.5B gate", QuantType::Q5K, 8960, 1536),
    ("plain floats", QuantType::F16, 4096, 1536),
];

fn main() {
    let threads = std::env::args().nth(1).and_then(|n| n.parse().ok());
    let only = std::env::args().nth(2);
    let pool = ComputePool::new(threads.unwrap_or_else(default_threads));
    let Ceiling { f32_ops, int8_ops, read_bytes } = Ceiling::measure(&pool);
    println!(
        "{} threads, {}: at most {:.0} GFLOP/s, {:.0} int8 GOP/s, {:.1} GB/s",
        pool.threads(),
        processor(),
        f32_ops / 1e9,
        int8_ops / 1e9,
        read_bytes / 1e9
    );
    println!("one call of the pool: {:.2} us\n", 1e6 * call_time(&pool));
    println!("GB/s of one row; GOP/s of 2, 4, 8, 32 and 512 rows");
    for (name, ty, rows, cols) in SHAPES {
        for path in [None, Some(Precision::Int16), Some(Precision::Int8)] {
            if path.is_some() && !is_packable(ty) || only.as_ref().is_some_and(|only| only != ty.name()) {
                continue;
            }
            // Many rows at once do not care how many outputs there are: a share is enough.
            let share = |n| if n > 8 { rows.min(1024) } else { rows };
            let speed = |n| {
                2.0 * (n * share(n) * cols) as f64 / 1e9 / matmul_time(&pool, ty, path, share(n), cols, n)
            };
            let stored = (ty.row_bytes(cols).unwrap_or(0) * rows) as f64;
            println!(
                "{name:24}{:6}{:>14}{:>7}{:8.1}{:8.0}{:8.0}{:8.0}{:8.0}{:8.0}",
                ty.name(),
                format!("{rows} x {cols}"),
                path.map_or("f32", |p| if p == Precision::Int8 { "int8" } else { "int16" }),
                stored / 1e9 / matmul_time(&pool, ty, path, rows, cols, 1),
                speed(2),
                speed(4),
                speed(8),
                speed(32),
                speed(512),
            );
        }
    }
    println!("\nattention over 1500 keys: GFLOP/s of 64 causal rows, GB/s of one row");
    for (heads, kv_heads, head_dim) in [(9, 3, 64), (14, 2, 64), (12, 2, 128), (4, 1, 256), (16, 16, 64)] {
        let (prefill, decode) = attention_speed(&pool, heads, kv_heads, head_dim);
        println!("{heads:4} heads of {head_dim:3} over {kv_heads:2}:{prefill:8.0}{decode:8.1}");
    }
}

fn call_time(pool: &ComputePool) -> f64 {
    shortest_run(|| (0..100).for_each(|_| pool.run(pool.threads(), &|part| _ = black_box(part)))) / 100.0
}

/// Random bytes whose half-precision scales are all small and finite.
fn random_bytes(len: usize) -> Vec<u8> {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let byte = |_| {
        state = state.wrapping_mul(0x5851_f42d_4c95_7f2d).wrapping_add(0x1405_7b7e_f767_814f);
        (state >> 56) as u8 & 0x3b
    };
    (0..len).map(byte).collect()
}

fn matmul_time(
    pool: &ComputePool,
    ty: QuantType,
    path: Option<Precision>,
    rows: usize,
    cols: usize,
    n: usize,
) -> f64 {
    let stored = ty.row_bytes(cols).unwrap_or(0) * rows;
    // Few rows read their weights from memory in a model: rotate over copies larger than a cache.
    let copies = if n <= 8 { 80_000_000 / stored + 1 } else { 1 };
    let data = random_bytes(stored * copies);
    let x: Vec<f32> = (0..n * cols).map(|i| (i % 31) as f32 - 15.0).collect();
    let mut y = vec![0.0; n * rows];
    let mut next = data.chunks_exact(stored).cycle();
    let mut codes = Codes::new();
    shortest_run(|| {
        let data = next.next().unwrap_or_default();
        match path {
            None => match Matrix::new(ty, rows, cols, data) {
                Ok(w) => matmul(pool, &w, black_box(&x), &mut y),
                Err(error) => println!("{error}"),
            },
            Some(precision) => match PackedMatrix::new(ty, rows, cols, data) {
                Ok(w) => {
                    codes.quantize(pool, precision, black_box(&x), cols);
                    matmul_packed(pool, &codes, [Some(Product { w, y: &mut y, bias: None })]);
                }
                Err(error) => println!("{error}"),
            },
        }
    })
}

fn attention_speed(pool: &ComputePool, heads: usize, kv_heads: usize, head_dim: usize) -> (f64, f64) {
    let (keys, page_len, n) = (1500, 16, 64);
    let pages: Vec<u32> = (0..keys as u32 / 16 + 1).rev().collect();
    let k: Vec<f32> =
        (0..pages.len() * page_len * kv_heads * head_dim).map(|i| (i as f32 * 0.11).sin()).collect();
    let v: Vec<f32> = k.iter().rev().copied().collect();
    let kv = PagedKv { k: &k, v: &v, page_len, kv_heads, head_dim };
    let q: Vec<f32> = (0..n * heads * head_dim).map(|i| (i as f32 * 0.21).cos()).collect();
    let row = |(r, q)| AttentionRow { q, pages: &pages, start: 0, end: keys - n + r + 1 };
    let rows: Vec<_> = q.chunks_exact(heads * head_dim).enumerate().map(row).collect();
    let mut out = vec![0.0; q.len()];
    let prefill = shortest_run(|| attention(pool, &kv, heads, 0.125, &rows, &mut out));
    let seen: usize = rows.iter().map(|row| row.end).sum();
    let last = rows.len() - 1;
    let one = &mut out[..heads * head_dim];
    let decode = shortest_run(|| attention(pool, &kv, heads, 0.125, &rows[last..], one));
    let flop = 4.0 * (seen * heads * head_dim) as f64;
    let read = 8.0 * (keys * kv_heads * head_dim) as f64;
    (flop / 1e9 / prefill, read / 1e9 / decode)
}
