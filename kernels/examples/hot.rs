//! dev only
use understudy_kernels::*;
use std::time::*;
fn main(){
 let pool=ComputePool::new(1);
 let pick=std::env::args().nth(1).unwrap_or_default();
 for ty in [QuantType::Q4_0,QuantType::Q4_1,QuantType::Q5_0,QuantType::Q8_0,QuantType::Q4K,QuantType::Q5K,QuantType::Q6K] {
  if !pick.is_empty() && ty.name()!=pick {continue}
  for (rows,cols,n) in [(128usize,1536usize,1usize),(128,1536,48),(64,8960,6)] {
   let st=ty.row_bytes(cols).unwrap()*rows; let data:Vec<u8>=(0..st).map(|i| (i*7) as u8 & 0x3b).collect();
   let w=Matrix::new(ty,rows,cols,&data).unwrap();
   let x=vec![0.5f32;n*cols]; let mut y=vec![0f32;n*rows];
   let mut best=1e9f64; let t0=Instant::now();
   while t0.elapsed()<Duration::from_millis(if pick.is_empty(){60}else{600}) { let t=Instant::now(); matmul(&pool,&w,&x,&mut y); best=best.min(t.elapsed().as_secs_f64()); }
   let vecs=(rows*cols/8) as f64;
   print!("{} n={n}: {:.1} GB/s {:.2} cyc/vec {:.1} GF/s | ", ty.name(), st as f64/1e9/best, best*3.2e9/vecs/n as f64, 2.0*(rows*cols*n) as f64/1e9/best);
  }
  println!();
 }
}
