//! The request that is being served: its name, under which the log and the caller speak of it.
//!
//! Owns the name, wherever on the way of a request it is asked for. Most requests are never spoken of, so the name is
//! made when it is first asked for. `api/front.rs` serves; `api/problem.rs` and the log ask.

use std::cell::{OnceCell, RefCell};

tokio::task_local! {
    static SERVED: Served;
}

/// Bytes of a name that somebody else gave.
const GIVEN: std::ops::RangeInclusive<usize> = 8..=128;

/// What is remembered of the request.
#[derive(Default)]
struct Served {
    id: OnceCell<String>,
    /// Where it panicked.
    panicked: RefCell<Option<String>>,
}

impl Served {
    fn id(&self) -> String {
        self.id.get_or_init(random).clone()
    }
}

/// 128 random bits. Without randomness there are other worries than a name.
fn random() -> String {
    let half = || getrandom::u64().unwrap_or_default();
    format!("{:016x}{:016x}", half(), half())
}

/// Whether a name that was given can be used as it is: 8 to 128 letters, digits, dots, dashes and underscores.
#[must_use]
pub fn is_sane(id: &str) -> bool {
    GIVEN.contains(&id.len()) && id.bytes().all(|byte| byte.is_ascii_alphanumeric() || b".-_".contains(&byte))
}

/// Serves a request: whatever asks for its name meanwhile is told the same, the given one if there is one.
pub fn serve<T>(given: Option<String>, request: impl Future<Output = T>) -> impl Future<Output = T> {
    // Not an `async fn`: that would move the whole of the request's future once more.
    let id = given.map_or_else(OnceCell::new, OnceCell::from);
    SERVED.scope(Served { id, ..Served::default() }, request)
}

/// The name of the request that is being served; outside of one, a name of its own each time.
#[must_use]
pub fn id() -> String {
    id_if_any().unwrap_or_else(random)
}

/// The name of the request that is being served.
#[must_use]
pub fn id_if_any() -> Option<String> {
    SERVED.try_with(Served::id).ok()
}

/// What goes on beside the request that asks for it, under the same name.
pub fn carried<T>(job: impl Future<Output = T>) -> impl Future<Output = T> {
    let id = id_if_any();
    async move {
        match id {
            Some(id) => serve(Some(id), job).await,
            None => job.await,
        }
    }
}

/// Notes where the request panicked; gives the text back when no request is being served.
///
/// # Errors
/// The text itself.
pub fn note_panic(text: String) -> Result<(), String> {
    let mut text = Some(text);
    let noted = SERVED.try_with(|served| served.panicked.replace(text.take()));
    match (noted, text) {
        (Err(_), Some(text)) => Err(text),
        _ => Ok(()),
    }
}

/// Where the request that is being served panicked, if it did and that was noted.
#[must_use]
pub fn take_panic() -> Option<String> {
    SERVED.try_with(|served| served.panicked.take()).ok().flatten()
}

#[cfg(test)]
mod tests {
    use super::{carried, id, id_if_any, is_sane, serve};

    #[tokio::test]
    async fn a_request_has_one_name_and_what_it_starts_has_it_too() {
        let (first, second, spawned) = serve(None, async {
            let spawned = tokio::spawn(carried(async { id() }));
            (id(), id(), spawned.await.unwrap())
        })
        .await;
        assert_eq!((first.len(), &first, &first), (32, &second, &spawned));
        assert_ne!(first, serve(None, async { id() }).await);
        assert_eq!(serve(Some("given-by-a-proxy".to_owned()), async { id() }).await, "given-by-a-proxy");
        assert_eq!(id_if_any(), None);
        assert_ne!(id(), id());
    }

    #[test]
    fn a_given_name_is_plain() {
        for fine in ["01234567", "f81d4fae-7dec-11d0-a765-00a0c91e6bf6", &"x".repeat(128)] {
            assert!(is_sane(fine), "{fine}");
        }
        for wrong in ["", "0123456", &"x".repeat(129), "with a space", "quote\"quote", "new\nline00", "ünïcödé0"] {
            assert!(!is_sane(wrong), "{wrong}");
        }
    }
}
