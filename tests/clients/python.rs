//! Clients written in Python.

use std::path::Path;
use std::process::Command;

/// Runs a script of this folder, which exits with zero if all is as it should be, and panics with all it wrote
/// if not.
///
/// # Panics
///
/// Also if what it needs is not installed.
#[track_caller]
pub fn python(script: &str, args: &[&str]) {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let interpreter = root.join("target/clients/bin/python");
    assert!(interpreter.exists(), "the clients are not installed: run `make clients` first");
    let output = Command::new(interpreter)
        // without `__pycache__` in the source tree
        .arg("-B")
        .arg(root.join("tests/clients").join(script))
        .args(args)
        .output()
        .unwrap();
    let (stdout, stderr) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{script} {}: {}\n{stdout}\n{stderr}", args.join(" "), output.status);
}
