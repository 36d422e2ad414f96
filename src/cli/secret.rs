//! How a password comes in: from a file, from standard input, or from a prompt. Never from a flag.

use std::fs::File;
use std::io::{IsTerminal as _, Read as _};
use std::path::Path;

use zeroize::Zeroizing;

use super::{Ending, failed};

/// The password in the file; without one, the first line of standard input when that is no terminal and holds nothing
/// else; otherwise it is asked for.
pub(super) fn password(file: Option<&Path>, stdin_is_free: bool) -> Result<Zeroizing<String>, Ending> {
    let mut text = Zeroizing::new(String::new());
    if let Some(file) = file {
        let read = File::open(file).and_then(|mut file| file.read_to_string(&mut text));
        read.map_err(|e| failed(format!("--password-file: cannot be read: {e}; name a file that can")))?;
    } else if stdin_is_free && !std::io::stdin().is_terminal() {
        std::io::stdin().read_line(&mut text).map_err(|e| failed(format!("standard input: {e}")))?;
    } else {
        text = asked("password: ")?;
    }
    Ok(Zeroizing::new(text.trim_end_matches(['\r', '\n']).to_owned()))
}

/// A new password: as [`password`], and asked for twice.
pub(super) fn new_password(file: Option<&Path>) -> Result<Zeroizing<String>, Ending> {
    if file.is_some() || !std::io::stdin().is_terminal() {
        return password(file, true);
    }
    let (first, second) = (asked("new password: ")?, asked("the same again: ")?);
    if *first == *second { Ok(first) } else { Err(failed("the two are not the same; nothing was changed")) }
}

fn asked(prompt: &str) -> Result<Zeroizing<String>, Ending> {
    let asked = rpassword::prompt_password(prompt);
    asked.map(Zeroizing::new).map_err(|e| failed(format!("cannot ask for the password: {e}; give --password-file")))
}
