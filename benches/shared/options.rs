//! Options of a bench: `--name value`, each of them known to it. All benches use this file by its path.

use std::collections::BTreeMap;
use std::str::FromStr;

/// What was asked for, by the options' names without dashes.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Options(BTreeMap<String, String>);

/// What a command line asks for.
#[derive(Debug, PartialEq, Eq)]
pub enum Asked {
    Help,
    Run(Options),
}

/// Reads the program's own arguments. `--help` prints the usage and ends the program, as does an
/// option that is none of `known`.
pub fn read(usage: &str, known: &[&str]) -> Options {
    match parse(std::env::args().skip(1), known) {
        Ok(Asked::Run(options)) => options,
        Ok(Asked::Help) => {
            println!("{usage}");
            std::process::exit(0)
        }
        Err(error) => fail(&format!("{error}\n\n{usage}")),
    }
}

/// Ends the program as a wrong command line does.
pub fn fail(message: &str) -> ! {
    eprintln!("error: {message}");
    std::process::exit(2)
}

/// Takes arguments apart.
///
/// # Errors
/// When an option is unknown, comes twice or has no value.
pub fn parse(args: impl IntoIterator<Item = String>, known: &[&str]) -> Result<Asked, String> {
    let mut options = BTreeMap::new();
    let mut args = args.into_iter();
    while let Some(arg) = args.next() {
        match arg.as_str() {
            // cargo adds it
            "--bench" => continue,
            "--help" | "-h" => return Ok(Asked::Help),
            _ => {}
        }
        let name = arg.strip_prefix("--").filter(|name| known.contains(name));
        let name = name.ok_or_else(|| format!("{arg}: there is no such option"))?;
        let value = args.next().ok_or_else(|| format!("{arg}: its value is missing"))?;
        if options.insert(name.to_owned(), value).is_some() {
            return Err(format!("{arg}: given twice"));
        }
    }
    Ok(Asked::Run(Options(options)))
}

impl Options {
    /// The value of an option that was given.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str)
    }

    /// A number, if the option was given; ends the program when it is none.
    pub fn number<N: FromStr>(&self, name: &str) -> Option<N> {
        let value = self.get(name)?;
        let number = value.parse().ok();
        Some(number.unwrap_or_else(|| fail(&format!("--{name} {value}: no such number"))))
    }
}
