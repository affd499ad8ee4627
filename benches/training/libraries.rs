//! Lethe's products beside those of matrix libraries, at the shapes of training, with nothing to skip.
//!
//! The libraries are in a crate of their own, `benches/libraries`: the program needs none.

use crate::bench::Bench;
use crate::data::Tabular;
use crate::rounds::{alternate, median};
use crate::table::{Row, Unit};
use lethe::nn::batch::Batch;
use lethe::nn::{Mlp, Shape};
use std::hint::black_box;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::Instant;

/// Where `make bench` puts it.
const PROGRAM: &str = "target/libraries/release/lethe-libraries";

const INPUTS: usize = 784;
const OUTPUTS: usize = 256;
const SECONDS: f64 = 0.2;

pub fn measure(bench: &mut Bench) {
    for library in ["gemm", "matrixmultiply"] {
        for product in ["forward", "gradient"] {
            for batch_size in [64, 512] {
                let name = format!("library {library}, {product}, batch {batch_size}");
                bench.row(&name, 1, |_, rounds| beside(library, product, batch_size, rounds));
            }
        }
    }
}

fn beside(library: &str, product: &str, batch_size: usize, rounds: usize) -> Result<Row, String> {
    let program = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(PROGRAM);
    if !program.is_file() {
        return Err("the libraries are not built".to_owned());
    }
    let theirs = || {
        let arguments = [library, product, &batch_size.to_string()];
        let output = Command::new(&program).args(arguments).stderr(Stdio::inherit()).output();
        let printed =
            String::from_utf8_lossy(&output.map_err(|error| error.to_string())?.stdout).into_owned();
        printed.trim().parse().map_err(|_| format!("{library} said {printed:?}"))
    };
    let sides = alternate(rounds, || Ok(ours(product, batch_size)), theirs)?;
    Ok(Row {
        ours: format!("{:.1} GFLOP/s", median(&sides.ours)),
        theirs: format!("{:.1} GFLOP/s", median(&sides.theirs)),
        ratios: sides.shares(),
        unit: Unit::Times,
        bar: None,
        flaws: Vec::new(),
        note: "one thread; Lethe's with the bias".to_owned(),
    })
}

/// A network of one layer does one product forward and one for its gradient.
fn ours(product: &str, batch_size: usize) -> f64 {
    let shape = Shape { widths: vec![INPUTS, OUTPUTS], output_relu: false };
    let mlp = Mlp::from_params(shape.clone(), &vec![0.01; shape.n_params()]);
    let table = Tabular::new(batch_size, INPUTS);
    let rows: Vec<u32> = (0..batch_size as u32).collect();
    let mut batch = Batch::new(&shape, batch_size);
    // as many numbers as a network's parameters, on a cache line as those are
    let mut gradient = Mlp::zeroed(shape);
    batch.load(table.problem().train, &rows);
    batch.forward(&mlp);
    let (start, mut times) = (Instant::now(), 0.0);
    while start.elapsed().as_secs_f64() < SECONDS {
        if product == "forward" {
            batch.forward(black_box(&mlp));
        } else {
            batch.backward(&mlp, 0.9, black_box(gradient.params_mut()));
        }
        times += 1.0;
    }
    2.0 * (batch_size * INPUTS * OUTPUTS) as f64 * times / start.elapsed().as_secs_f64() / 1e9
}
