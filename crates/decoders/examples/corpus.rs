//! Writes the valid inputs of every reader below a folder, one folder for each, and prints their names: what the fuzzer
//! starts from. `cargo run -p strongroom-decoders --example corpus -- FOLDER`

use std::path::PathBuf;
use std::process::ExitCode;
use std::{env, fs, io};

use strongroom_decoders::{Bench, decoders};

fn main() -> ExitCode {
    let Some(folder) = env::args_os().nth(1).map(PathBuf::from) else {
        eprintln!("usage: corpus FOLDER");
        return ExitCode::FAILURE;
    };
    match write(&folder) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{}: {error}", folder.display());
            ExitCode::FAILURE
        }
    }
}

fn write(folder: &std::path::Path) -> io::Result<()> {
    for decoder in decoders() {
        let of_one = folder.join(decoder.name.replace(['/', ' '], "-"));
        fs::create_dir_all(&of_one)?;
        for (number, seed) in Bench::new(decoder).seeds().iter().enumerate() {
            fs::write(of_one.join(format!("seed-{number}")), seed)?;
        }
        println!("{}", decoder.name);
    }
    Ok(())
}
