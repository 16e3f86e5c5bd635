//! Imports files of Kong, for trials: `cargo run -p tollgate-import --example kong -- FILE [DIR]`.
//!
//! Exit status as `tollgate import kong`: 0 = everything was mapped, 1 = something was not, 2 = refused.

use std::path::Path;
use std::process::ExitCode;

fn main() -> ExitCode {
    let mut arguments = std::env::args().skip(1);
    let (file, out) = (arguments.next().unwrap_or_default(), arguments.next());
    match tollgate_import::kong_file(Path::new(&file), out.as_deref().map(Path::new), std::env::vars().collect()) {
        Ok(imported) => {
            print!("{}", imported.markdown());
            ExitCode::from(u8::from(!imported.is_complete()))
        }
        Err(error) => {
            eprintln!("{error}");
            ExitCode::from(2)
        }
    }
}
