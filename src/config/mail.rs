//! The flags about mail, judged together: the route with its password, and the pages that links lead to.

use std::path::Path;

use super::value::{folder, read};
use super::{BadConfig, bad};
use crate::mail::{NotARoute, Route};

/// Where mails go, with the password of its user.
pub(super) fn route(text: Option<&str>, password: Option<&Path>, data: &Path) -> Result<Route, BadConfig> {
    let mut route = match text {
        None => Route::Folder(data.with_file_name("mail")),
        Some(text) => text.parse().map_err(|why| {
            let mend = match why {
                NotARoute::Unknown => {
                    "give folder:PATH, smtp://USER@HOST:587, smtps://USER@HOST:465 or smtp+plain://HOST:25"
                }
                NotARoute::Password => "name its file with --mail-password-file",
                NotARoute::Unencrypted => "use smtp:// or smtps://, or leave out the user",
            };
            bad("mail", why, mend)
        })?,
    };
    if let Route::Folder(mails) = &route {
        folder("mail", mails)?;
        if mails == data {
            return Err(bad("mail", "the same folder as --data", "name two folders"));
        }
    }
    let flag = "mail-password-file";
    let login = match &mut route {
        Route::Smtp(relay) => relay.credentials.as_mut(),
        Route::Folder(_) => None,
    };
    match (login, password) {
        (Some((_, place)), Some(path)) => {
            let odd = |_| bad(flag, "the file is not text", "write it in UTF-8");
            let text = String::from_utf8(read(flag, path)?).map_err(odd)?;
            let line = text.trim_end_matches(['\r', '\n']);
            if line.is_empty() || line.chars().any(char::is_control) {
                return Err(bad(flag, "the file does not hold a password", "write it in one line"));
            }
            *place = line.to_owned().into();
        }
        (Some(_), None) => return Err(bad(flag, "the user in --mail needs a password", "name the file that holds it")),
        (None, Some(_)) => return Err(bad(flag, "--mail names no user", "give one as in smtp://USER@HOST:587")),
        (None, None) => {}
    }
    Ok(route)
}

/// The path of a page of our own origin: nothing that a browser could take for another site, and no query.
pub(super) fn page(flag: &str, text: String) -> Result<String, BadConfig> {
    let fine = |c: char| c.is_ascii_alphanumeric() || "/-._~".contains(c);
    if !text.starts_with('/') || text.starts_with("//") || !text.chars().all(fine) {
        return Err(bad(flag, "not the path of a page", "give one such as /reset"));
    }
    Ok(text)
}
